// A plain router to measure ours against: Express, the official MongoDB driver and socket.io, as one would write it by
// hand for Node.js, with the checks and store writes that ours makes. It promises less: its seqs come from one process's
// memory, a repeat leaves a gap, there is no quarantine, no fence and no second replica, and who was away is sent what is
// missing without waiting for acks. Where there was a choice it is the one that costs less.
//
// Arguments by environment: MONGODB_URI, META_APP_SECRET, JWT_HS256_SECRET, WEBHOOK_PORT, SOCKET_PORT.
import crypto from "node:crypto";
import { createServer } from "node:http";
import express from "express";
import { Long, MongoClient } from "mongodb";
import { Server } from "socket.io";

const { MONGODB_URI, META_APP_SECRET, JWT_HS256_SECRET, WEBHOOK_PORT, SOCKET_PORT } = process.env;
const client = await new MongoClient(MONGODB_URI, {
  maxPoolSize: 64,
  writeConcern: { w: "majority", journal: true },
  readConcern: { level: "majority" },
}).connect();

// Both tables are read once; a real one would follow them.
const platform = client.db("clientnumber");
const companies = new Map();
for (const { _id, database } of await platform.collection("companies").find().toArray()) {
  const log = client.db(database).collection("log");
  const [newest] = await log.find().sort({ _id: -1 }).limit(1).toArray();
  companies.set(_id, {
    id: _id,
    log,
    cursors: client.db(database).collection("cursors"),
    head: Number(newest?._id ?? 0),
    contacts: new Map(),
    moved: new Map(),
  });
}
const routes = new Map();
for (const route of await platform.collection("routes").find().toArray()) {
  routes.set(route._id, { ...route, company: companies.get(route.company_id) });
}

const randomId = (prefix, bytes) => prefix + crypto.randomBytes(bytes).toString("hex");

// The item as recruiters get it. What is not a candidate's, a line's coming to the company, has no text of Meta's.
function item(entry) {
  const { _id, kind, at, line, contact_id, contact, message_id, type, timestamp, status, raw } = entry;
  return {
    seq: Number(_id), kind, at: at.toISOString(), line, contact: { id: contact_id, ...contact }, message_id, type, status,
    timestamp: String(timestamp), content: raw && JSON.parse(raw),
  };
}

function entry(kind, route, value, content) {
  const { company } = route;
  const user = value.contacts?.[0];
  const wa_id = user?.wa_id ?? content.from ?? content.recipient_id;
  let contact_id = company.contacts.get(wa_id);
  if (contact_id === undefined) company.contacts.set(wa_id, (contact_id = randomId("c", 12)));
  return {
    _id: Long.fromNumber(++company.head),
    kind,
    at: new Date(),
    fp: crypto.randomBytes(8).toString("hex"),
    line: { phone_number_id: route._id, phone_number: route.phone_number },
    epoch: route.epoch,
    meta_id: kind === "status" ? `${content.id}/${content.status}/${content.recipient_id}` : content.id,
    contact_id,
    contact: { name: user?.profile?.name, user_id: user?.user_id, wa_id },
    ...(kind === "message" ? { message_id: randomId("m", 12), type: content.type } : { status: content.status }),
    timestamp: Number(content.timestamp),
    raw: JSON.stringify(content),
  };
}

function signed(request) {
  const given = request.get("X-Hub-Signature-256") ?? "";
  const wanted = "sha256=" + crypto.createHmac("sha256", META_APP_SECRET).update(request.body).digest("hex");
  return given.length === wanted.length && crypto.timingSafeEqual(Buffer.from(given), Buffer.from(wanted));
}

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.post("/webhook", express.raw({ type: () => true, limit: "4mb" }), async (request, response) => {
  if (!signed(request)) return response.sendStatus(401);
  let body;
  try {
    body = JSON.parse(request.body);
  } catch {
    return response.sendStatus(400);
  }
  const writes = new Map();
  for (const { changes = [] } of body.entry ?? []) {
    for (const { value } of changes) {
      const route = routes.get(value?.metadata?.phone_number_id);
      if (route === undefined) continue;
      const entries = writes.get(route.company) ?? writes.set(route.company, []).get(route.company);
      for (const message of value.messages ?? []) entries.push(entry("message", route, value, message));
      for (const status of value.statuses ?? []) entries.push(entry("status", route, value, status));
    }
  }
  try {
    await Promise.all([...writes].map(([company, entries]) => company.log.insertMany(entries, { ordered: false })));
  } catch (error) {
    // All of it was there already.
    if (error.code !== 11000) return response.sendStatus(503);
  }
  response.sendStatus(200);
  for (const [company, entries] of writes) push(company, entries);
});

const server = createServer();
const io = new Server(server, { transports: ["websocket"], serveClient: false });

function push(company, entries) {
  const last = entries.at(-1);
  const cursor = `${last._id}.${last.fp}`;
  const room = io.sockets.adapter.rooms.get(company.id);
  if (room === undefined) return;
  const devices = [...room].map((id) => io.sockets.sockets.get(id)?.data.device);
  io.to(company.id).timeout(10_000).emit("messages", { items: entries.map(item), cursor }, (error) => {
    if (!error) devices.forEach((device) => company.moved.set(device, last));
  });
}

// Each device's stop, at most once a second, as ours does.
setInterval(() => {
  for (const { cursors, moved } of companies.values()) {
    if (moved.size === 0) continue;
    const at = new Date();
    const operations = [...moved].map(([{ recruiter, device }, { _id, fp }]) => ({
      updateOne: {
        filter: { _id: { recruiter, device } }, update: { $set: { seq: _id, fingerprint: fp, at } }, upsert: true,
      },
    }));
    moved.clear();
    cursors.bulkWrite(operations, { ordered: false }).catch(() => {});
  }
}, 1_000);

function claims(token) {
  const [head, payload, signature] = token.split(".");
  const wanted = crypto.createHmac("sha256", JWT_HS256_SECRET).update(`${head}.${payload}`).digest("base64url");
  if (signature.length !== wanted.length || !crypto.timingSafeEqual(Buffer.from(signature), Buffer.from(wanted))) return;
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  return claims.aud === "clientnumber" && claims.exp * 1_000 > Date.now() ? claims : undefined;
}

io.use((socket, next) => {
  const { token, device = "default" } = socket.handshake.auth;
  const person = claims(String(token));
  const company = companies.get(person?.company_id);
  if (company === undefined) return next(new Error("unauthorized"));
  socket.data.device = { recruiter: person.sub, device };
  socket.data.company = company;
  next();
});

io.on("connection", async (socket) => {
  const { company, device } = socket.data;
  const { cursor } = socket.handshake.auth;
  socket.emit("welcome", { company_id: company.id, ...device, cursor: cursor ?? "0.", head: company.head, lines: [] });
  const stored = cursor === undefined ? await company.cursors.findOne({ _id: device }) : undefined;
  const seq = cursor === undefined ? Number(stored?.seq ?? Math.max(company.head - 500, 0)) : Number(cursor.split(".")[0]);
  const missed = await company.log.find({ _id: { $gt: Long.fromNumber(seq) } }).sort({ _id: 1 }).toArray();
  socket.join(company.id);
  if (missed.length === 0) return;
  const last = missed.at(-1);
  socket.timeout(10_000).emit("messages", { items: missed.map(item), cursor: `${last._id}.${last.fp}` }, (error) => {
    if (!error) company.moved.set(device, last);
  });
});

server.listen(Number(SOCKET_PORT), "127.0.0.1");
app.listen(Number(WEBHOOK_PORT), "127.0.0.1", () => console.log("ready"));
