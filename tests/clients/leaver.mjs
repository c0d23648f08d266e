// A client that asks for `history`, reads nothing more, says that it leaves, and goes on holding its connection; over a bare
// TCP connection, since nothing else can stop reading.
//
// Arguments: one JSON object {url, auth, stranger?, asks}. A stranger says no CONNECT with a token, but names of namespaces
// that there are not, for as long as it is let. Says {event: "deaf"} once it reads no more and has said all.
import net from "node:net";
import crypto from "node:crypto";

const given = JSON.parse(process.argv[2]);
const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
const url = new URL(given.url);
const socket = net.connect(Number(url.port), url.hostname);
const frame = (text) => {
  const payload = Buffer.from(text);
  const long = payload.length > 125;
  const head = Buffer.alloc(long ? 8 : 6);
  head[0] = 0x81;
  head[1] = 0x80 | (long ? 126 : payload.length);
  if (long) head.writeUInt16BE(payload.length, 2);
  // The mask is zeros, which is allowed and saves the work.
  socket.write(Buffer.concat([head, payload]));
};
socket.write(
  `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${crypto.randomBytes(16).toString("base64")}\r\n\r\n`,
);
let seen = "";
let asked = false;
socket.on("error", () => say("closed", {}));
socket.on("close", () => say("closed", {}));
socket.on("data", (data) => {
  seen += data.toString("latin1");
  const page = seen.match(/42(\d+)\["messages"/);
  if (given.stranger && !asked && seen.includes('"sid"')) {
    asked = true;
    for (let n = 0; n < 40; n++) frame(`40/${String(n).padEnd(50_000, "x")},`);
    socket.pause();
    return say("deaf", {});
  }
  if (!given.stranger && !asked && seen.includes('"sid"')) {
    asked = true;
    frame("40" + JSON.stringify(given.auth));
  }
  if (page) {
    frame(`43${page[1]}[]`);
    seen = seen.slice(page.index + page[0].length);
  }
  if (seen.includes('42["caught_up"')) {
    seen = "";
    socket.pause();
    let n = 0;
    const ask = () => {
      frame(`42${++n}["history",{"limit":200}]`);
      if (n < given.asks) return setTimeout(ask, 60);
      frame("41");
      say("deaf", {});
    };
    ask();
  }
});
process.stdin.resume().on("end", () => process.exit(0));
