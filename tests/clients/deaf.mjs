// A client that asks for `history` again and again and reads nothing, over a bare WebSocket; at the end it reads all that
// waited for it.
//
// Arguments: one JSON object {url, auth, asks, every}: so many questions, one each `every` milliseconds. Says
// {event: "read", pages, others}: answers with items and without.
import WebSocket from "ws";

const given = JSON.parse(process.argv[2]);
const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
const socket = new WebSocket(given.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket");
let [asked, pages, others] = [0, 0, 0];
const ask = () => {
  socket.send(`42${++asked}["history",{"limit":200}]`);
  if (asked < given.asks) return setTimeout(ask, given.every);
  socket.resume();
  // Whatever comes after this one's answer was not waiting. While the buffer is full it gets none.
  setInterval(() => socket.send('429090["unknown",{}]'), 300);
};
socket.on("error", (error) => say("error", { message: error.message }));
socket.on("close", (code) => say("closed", { code }));
socket.on("message", (data) => {
  const got = data.toString();
  const page = got.match(/^42(\d+)\["messages"/);
  if (got.startsWith("0")) socket.send("40" + JSON.stringify(given.auth));
  else if (got === "2") socket.send("3");
  else if (page) socket.send(`43${page[1]}[]`);
  else if (got.startsWith('42["caught_up"')) {
    socket.pause();
    ask();
  } else if (got.startsWith("439090[")) {
    say("read", { pages, others });
    process.exit(0);
  } else if (got.startsWith("43")) got.length > 100_000 ? pages++ : others++;
});
process.stdin.resume().on("end", () => process.exit(0));
