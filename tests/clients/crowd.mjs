// Many recruiters in one process: each the helper of docs/recruiter-client, compiled, with a store of its own. A part of
// the acks gets lost, connections are broken and pages reloaded at random, until they are told to be calm.
//
// Arguments: one JSON object {url, seed, lost, devices: [{name, device, token, cursor?}]}; `lost`: the share of acks that
// never leave. Commands as JSON lines on stdin: {cmd: "start", devices: [index]}, {cmd: "calm"}, {cmd: "counts"} (answered
// by {event: "counts", devices: [...]}), {cmd: "dump", dir} (each device's items as lines of JSON in dir/<index>.jsonl,
// then {event: "dumped"}).
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { MemoryStore, Recruiter } from "./build/recruiter.js";

const options = JSON.parse(process.argv[2]);
const say = (event, more) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
let wild = true;

// mulberry32: small, and the same for a seed everywhere.
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// Loses its cursor now and then, but not what it has: the server then knows where the device stopped, or somewhat before.
class Store extends MemoryStore {
  forgets = () => false;
  async load() {
    const { cursor, seq } = await super.load();
    return this.forgets() ? { seq } : { cursor, seq };
  }
}

class Device {
  constructor(given, index) {
    this.given = given;
    this.random = random(options.seed * 1000 + index);
    this.store = new Store();
    // Once the server must know it.
    this.store.forgets = () => wild && this.counts.acks - this.counts.lost > 20 && this.random() < 0.2 && ++this.counts.forgot;
    this.state = "new";
    this.counts = { welcomes: 0, live: 0, pages: 0, received: 0, acks: 0, lost: 0, cut: 0, torn: 0, reloads: 0, forgot: 0, errors: 0, different: 0 };
    this.reasons = {};
  }

  async start() {
    if (this.given.cursor !== undefined) await this.store.save([], this.given.cursor, 0);
    this.connect();
    this.misfortune();
  }

  connect() {
    this.recruiter = new Recruiter({
      url: options.url,
      device: this.given.device,
      token: async () => this.given.token,
      store: this.store,
      onWelcome: () => this.counts.welcomes++,
      onState: (state, reason) => {
        this.state = state;
        if (state === "live") this.counts.live++;
        if (reason !== undefined) this.reasons[reason] = (this.reasons[reason] ?? 0) + 1;
      },
      onError: () => this.counts.errors++,
    });
    // Between the wire and the helper: what it does with a page is its own, but its ack may get lost.
    const socket = this.recruiter.socket;
    const [take] = socket.listeners("messages");
    socket.off("messages", take);
    socket.on("messages", (page, ack) => {
      this.counts.pages++;
      this.counts.received += page.items.length;
      // What the helper leaves out unseen must be what it has, since another company's items have the same seqs.
      for (const item of page.items) {
        const has = this.store.items[item.seq - 1];
        if (has !== undefined && JSON.stringify(has) !== JSON.stringify(item)) this.counts.different++;
      }
      take(page, () => {
        this.counts.acks++;
        if (wild && this.random() < options.lost) this.counts.lost++;
        else ack();
      });
    });
  }

  // Every few seconds something happens to the connection.
  misfortune() {
    setTimeout(() => {
      if (!wild) return;
      const engine = this.recruiter.socket.io.engine;
      const what = this.random();
      if (what < 0.2) {
        this.counts.reloads++;
        this.recruiter.stop();
        this.connect();
        this.recruiter.start();
      } else if (what < 0.6) {
        this.counts.cut++;
        engine?.close();
      } else {
        // Without a word to the server.
        this.counts.torn++;
        engine?.transport?.ws?.terminate?.();
      }
      this.misfortune();
    }, 3000 + this.random() * 30000);
  }

  begin() {
    return this.start().then(() => this.recruiter.start());
  }

  async told() {
    const seq = this.store.items.at(-1)?.seq ?? 0;
    const { name } = this.given;
    return { name, state: this.state, seq, items: this.store.items.length, ...this.counts, reasons: this.reasons };
  }
}

const devices = options.devices.map((given, index) => new Device(given, index));

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  if (command.cmd === "start") for (const index of command.devices) await devices[index].begin();
  if (command.cmd === "calm") wild = false;
  if (command.cmd === "counts") say("counts", { devices: await Promise.all(devices.map((device) => device.told())) });
  if (command.cmd === "dump") {
    devices.forEach((device, index) => {
      const lines = device.store.items.map((item) => JSON.stringify(item) + "\n");
      fs.writeFileSync(path.join(command.dir, `${index}.jsonl`), lines.join(""));
    });
    say("dumped");
  }
}).on("close", () => process.exit(0));
