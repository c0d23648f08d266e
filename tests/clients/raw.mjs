// The official Socket.IO client without any help, for tests of the protocol itself: says everything it gets as JSON
// lines on stdout, does what JSON lines on stdin say.
//
// Arguments: one JSON object {url, auth, options?}. Acks each page unless {cmd: "ack", ack: false} was said.
// Commands: {cmd: "emit", name, args, id} answers {event: "answer", id, args}; {cmd: "connect"}; {cmd: "close"}.
import readline from "node:readline";
import { io } from "socket.io-client";

const given = JSON.parse(process.argv[2]);
const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
let ack = given.ack ?? true;
const socket = io(given.url, {
  transports: ["websocket"],
  reconnection: false,
  forceNew: true,
  ...given.options,
  ...(given.auth === undefined ? {} : { auth: given.auth }),
});
socket.on("connect", () => say("connect", {}));
socket.on("disconnect", (reason) => say("disconnect", { reason }));
socket.on("connect_error", (error) =>
  say("connect_error", { message: error.message, data: error.data, active: socket.active }));
socket.onAny((name, ...args) => {
  const answer = typeof args.at(-1) === "function" ? args.pop() : undefined;
  say("got", { name, args });
  if (answer && ack) answer();
});

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (command.cmd === "ack") ack = command.ack;
  if (command.cmd === "connect") {
    if (command.auth) socket.auth = command.auth;
    socket.connect();
  }
  if (command.cmd === "close") socket.close();
  if (command.cmd === "emit") {
    socket.timeout(5_000).emit(command.name, ...command.args, (error, ...args) =>
      say("answer", { id: command.id, args, timeout: error !== null }));
  }
  if (command.cmd === "flood") for (let i = 0; i < command.times; i++) socket.emit(command.name, {});
}).on("close", () => process.exit(0));
