// A recruiter for tests: the helper of docs/recruiter-client, compiled, told what to do by JSON lines on stdin, saying
// what happens as JSON lines on stdout.
//
// Arguments: one JSON object {url, token, device?, cursor?, broken?}. Commands: {cmd: "history", query}, {cmd: "token", token},
// {cmd: "store"}, {cmd: "hang", hang: true|false} (store nothing while true), {cmd: "broken", what: [...]} (throw in "items",
// "state", "load", "clear"), {cmd: "cut"} (break the connection), {cmd: "stop"}.
import readline from "node:readline";
import { MemoryStore, Recruiter } from "./build/recruiter.js";

const options = JSON.parse(process.argv[2]);
let token = options.token;
let hang = false;
let broken = options.broken ?? [];
const may = (what) => {
  if (broken.includes(what)) throw new Error(`${what} is broken`);
};
const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");

class Store extends MemoryStore {
  async save(items, cursor, seq) {
    if (hang) throw new Error("told not to store");
    await super.save(items, cursor, seq);
    say("stored", { seqs: items.map((item) => item.seq), cursor });
  }
  async load() {
    may("load");
    return super.load();
  }
  async clear() {
    may("clear");
    await super.clear();
    say("cleared");
  }
}

const store = new Store();
if (options.cursor !== undefined) await store.save([], options.cursor, options.seq ?? 0);
const recruiter = new Recruiter({
  url: options.url,
  device: options.device,
  token: async () => token,
  store,
  onWelcome: (welcome) => say("welcome", { welcome }),
  onItems: (items) => {
    may("items");
    say("items", { items });
  },
  onLines: (lines) => say("lines", { lines }),
  onState: async (state, reason) => {
    say("state", { state, reason });
    may("state");
  },
  onError: (error) => say("error", { message: error.message }),
});

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  if (command.cmd === "history") say("history", { answer: await recruiter.history(command.query) });
  if (command.cmd === "token") token = command.token;
  if (command.cmd === "hang") hang = command.hang;
  if (command.cmd === "broken") broken = command.what;
  if (command.cmd === "cut") recruiter.socket.io.engine.close();
  if (command.cmd === "store") say("store", { items: store.items, ...(await store.load()) });
  if (command.cmd === "stop") {
    recruiter.stop();
    process.exit(0);
  }
}).on("close", () => process.exit(0));

recruiter.start();
