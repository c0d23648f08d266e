// Many recruiters in one process, each with the official Socket.IO client: for tests and measurements of many at once.
//
// The first line of stdin is {url, clients: [{token, device?, cursor?, line}], perSecond?}: all connect, at most so many a
// second; who is told `retry_later` comes again when it was told to. Says {event: "connected", ms} once each has its
// `welcome`. A text "t=<ms since 1970>" counts as a delay when it arrives.
// Commands: {cmd: "until", seq} says {event: "reached", ms} once each client has that item; {cmd: "reset"} forgets the
// delays; {cmd: "report"} says {event: "report", items, gaps, foreign, lost, lasts, delays, cpuMs, codes}: items that were
// new, seqs that were skipped, items of another line, connections that ended, the newest seq of each client.
import readline from "node:readline";
import { io } from "socket.io-client";

const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
const now = () => performance.timeOrigin + performance.now();
const state = { items: 0, gaps: 0, foreign: 0, lost: 0, welcomed: 0, until: Infinity, reached: 0 };
const codes = {};
const lasts = [];
const sockets = [];
let delays = [];
let started = 0;

function reached() {
  if (state.until === Infinity || !lasts.every((last) => last >= state.until)) return;
  say("reached", { ms: now() - started });
  state.until = Infinity;
}

function take(index, line, page, ack) {
  for (const item of page.items) {
    // Also of what it has: another company's items have the same seqs.
    if (line !== undefined && item.line?.phone_number_id !== line) state.foreign += 1;
    if (item.seq <= lasts[index]) continue;
    // A client without a cursor may begin anywhere.
    if (lasts[index] >= 0 && item.seq !== lasts[index] + 1) state.gaps += item.seq - lasts[index] - 1;
    lasts[index] = item.seq;
    state.items += 1;
    const text = item.content?.text?.body;
    if (typeof text === "string" && text.startsWith("t=")) delays.push(now() - Number(text.slice(2)));
  }
  ack?.();
  reached();
}

function recruiter(url, index, { token, device, cursor, line }) {
  cursor ??= undefined;
  lasts[index] = cursor === undefined ? -1 : Number(cursor.split(".")[0]);
  const socket = io(url, {
    transports: ["websocket"], reconnection: false, forceNew: true, autoConnect: false, auth: { token, device, cursor },
  });
  socket.on("welcome", () => {
    state.welcomed += 1;
    if (state.welcomed === sockets.length) say("connected", { ms: now() - started });
  });
  socket.on("messages", (page, ack) => take(index, line, page, ack));
  socket.on("disconnect", () => (state.lost += 1));
  socket.on("connect_error", (error) => {
    const code = error.data?.code ?? error.message;
    codes[code] = (codes[code] ?? 0) + 1;
    setTimeout(() => socket.connect(), ((error.data?.retry_after_s ?? 1) + Math.random()) * 1_000);
  });
  sockets[index] = socket;
}

function begin({ url, clients, perSecond = 1_000_000 }) {
  clients.forEach((client, index) => recruiter(url, index, client));
  started = now();
  let next = 0;
  const go = () => {
    const due = Math.min(sockets.length, Math.ceil(((now() - started) / 1_000) * perSecond) + 1);
    while (next < due) sockets[next++].connect();
    if (next < sockets.length) setTimeout(go, 5);
  };
  go();
}

let begun = false;
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (!begun) {
    begun = true;
    return begin(command);
  }
  if (command.cmd === "until") {
    state.until = command.seq;
    reached();
  }
  if (command.cmd === "reset") delays = [];
  if (command.cmd === "report") {
    const { user, system } = process.cpuUsage();
    const { items, gaps, foreign, lost } = state;
    say("report", { items, gaps, foreign, lost, lasts, delays, codes, cpuMs: (user + system) / 1_000 });
  }
}).on("close", () => process.exit(0));
