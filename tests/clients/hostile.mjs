// A client that keeps to no rule: sends the frames that it is told to, over a bare WebSocket, and says as JSON lines what
// came back and whether the connection was ended.
//
// Arguments: one JSON object {url, auth, frames, binary, wait}. A frame is text, or {repeat, times, before, after}.
import WebSocket from "ws";

const given = JSON.parse(process.argv[2]);
const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
const text = (frame) =>
  typeof frame === "string" ? frame : (frame.before ?? "") + frame.repeat.repeat(frame.times) + (frame.after ?? "");
const socket = new WebSocket(given.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket");
socket.on("error", (error) => say("error", { message: error.message }));
socket.on("close", (code) => say("closed", { code }));
const attack = () => {
  for (const frame of given.frames) socket.send(text(frame));
  for (const bytes of given.binary ?? []) socket.send(Buffer.from(bytes, "hex"));
  // Frames are read in their order: who answers this one has got over the others.
  if (given.wait === undefined) socket.send('429090["history",{}]');
  else setTimeout(() => say("survived", {}), given.wait);
};
socket.on("message", (data, binary) => {
  const got = data.toString();
  if (binary) return say("binary", {});
  if (got.startsWith("0")) given.auth ? socket.send("40" + JSON.stringify(given.auth)) : attack();
  else if (got === "2") socket.send("3");
  else {
    if (got.startsWith("439090[")) return say("survived", {});
    say("frame", { got: got.slice(0, 200) });
    if (got.startsWith("40") && given.auth) attack();
  }
});
process.stdin.resume().on("end", () => process.exit(0));
