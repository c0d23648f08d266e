/**
 * A recruiter's connection to ClientNumber, on top of the official Socket.IO client.
 *
 * It does what docs/recruiter-client.md asks of every client: store a page before it is acked, drop what was stored
 * already, come back with the own cursor, wait the right time after each goodbye, and prolong the token in time.
 * Copy this file into your project; it needs `socket.io-client` 4.x and nothing else.
 */
import { io, type Socket } from "socket.io-client";

export interface Line {
  phone_number_id: string;
  phone_number: string;
  display_name: string;
  state: "pending" | "active" | "draining";
}

export interface Contact {
  id: string;
  name?: string;
  username?: string;
  user_id?: string;
  wa_id?: string;
}

/** One entry of the company's log. `content` is what Meta sent, unchanged. */
export interface Item {
  seq: number;
  kind: "message" | "status" | "sent" | "contact" | "event" | "erased";
  at: string;
  line?: { phone_number_id: string; phone_number: string };
  contact?: Contact;
  message_id?: string | null;
  type?: string;
  status?: string;
  field?: string;
  timestamp?: string;
  reply_to?: string | null;
  refers_to?: string | null;
  client_ref?: string;
  recruiter?: string;
  merged?: string[];
  errors?: unknown;
  content?: unknown;
}

export interface Welcome {
  company_id: string;
  recruiter: string;
  device: string;
  cursor: string;
  head: number;
  lines: Line[];
}

export interface Page {
  items: Item[];
  cursor: string;
}

export interface Refusal {
  ok: false;
  error: { code: string; message: string };
}

/** The contacts that a person had erased, if that is what the item says: remove all that you have of them. */
export function erased(item: Item): string[] | undefined {
  if (item.kind !== "event" || item.field !== "contact") return undefined;
  const content = item.content as { action?: string; contact_ids?: string[] } | undefined;
  return content?.action === "erased" ? content.contact_ids : undefined;
}

/**
 * Where the client keeps what it has got. `save` must store items and cursor in one transaction, and remove what an item
 * says is `erased`.
 */
export interface RecruiterStore {
  load(): Promise<{ cursor?: string; seq: number }>;
  save(items: Item[], cursor: string, seq: number): Promise<void>;
  clear(): Promise<void>;
}

export class MemoryStore implements RecruiterStore {
  items: Item[] = [];
  private cursor?: string;
  private seq = 0;

  async load() {
    return { cursor: this.cursor, seq: this.seq };
  }
  async save(items: Item[], cursor: string, seq: number) {
    for (const item of items) {
      const gone = erased(item);
      if (gone) this.items = this.items.filter((known) => !gone.includes(known.contact?.id ?? ""));
      this.items.push(item);
    }
    this.cursor = cursor;
    this.seq = seq;
  }
  async clear() {
    this.items = [];
    this.cursor = undefined;
    this.seq = 0;
  }
}

export type State = "connecting" | "catching_up" | "live" | "waiting" | "stopped";

export interface RecruiterOptions {
  /** For example `https://rt.example.ma`. */
  url: string;
  /** Fetches a fresh token from your own backend. Called before each connect and before the token expires. */
  token: () => Promise<string>;
  store: RecruiterStore;
  /** A name of this browser or app; the same one replaces its older connection. */
  device?: string;
  onItems?: (items: Item[]) => void;
  onWelcome?: (welcome: Welcome) => void;
  onLines?: (lines: Line[]) => void;
  /** `reason` is a goodbye's, a refusal's code, `store` when yours could not be read, or the Socket.IO client's own. */
  onState?: (state: State, reason?: string) => void;
  /** What your store refused and what your callbacks threw; the connection goes on. `console.error` when left out. */
  onError?: (error: unknown) => void;
  /** Further options of the Socket.IO client, for example `extraHeaders` outside browsers. */
  socketOptions?: Record<string, unknown>;
}

/** The client prolongs its token when so much of its life is left. */
const REAUTH_MS = 60_000;
const ANSWER_MS = 15_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;

export class Recruiter {
  private socket: Socket;
  private seq = 0;
  private goodbye?: string;
  private stopped = false;
  private failures = 0;
  private retryTimer?: ReturnType<typeof setTimeout>;
  private reauthTimer?: ReturnType<typeof setTimeout>;
  /** Pages are stored one after the other, in the order in which they came. */
  private storing: Promise<void> = Promise.resolve();
  /** The server answers one `history` at a time. */
  private leafing: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: RecruiterOptions) {
    this.socket = io(options.url, {
      ...options.socketOptions,
      transports: ["websocket"],
      autoConnect: false,
      // We reconnect ourselves: the Socket.IO client gives up after a server's disconnect and a refused handshake.
      reconnection: false,
      // Two Recruiters of one page (two companies) must not share a connection.
      forceNew: true,
      auth: (give) => void this.handshake(give),
    });
    this.socket.on("welcome", (welcome: Welcome) => {
      this.failures = 0;
      this.tell(() => this.options.onWelcome?.(welcome));
      this.tell(() => this.options.onLines?.(welcome.lines));
    });
    this.socket.on("messages", (page: Page, ack: () => void) => {
      this.storing = this.storing.then(() => this.store(page, ack));
    });
    this.socket.on("caught_up", () => this.state("live"));
    this.socket.on("lines", (lines: Line[]) => this.tell(() => this.options.onLines?.(lines)));
    this.socket.on("goodbye", ({ reason }: { reason: string }) => (this.goodbye = reason));
    this.socket.on("connect", () => {
      this.goodbye = undefined;
      this.state("catching_up");
    });
    this.socket.on("disconnect", (reason) => void this.ended(this.goodbye ?? reason));
    this.socket.on("connect_error", (error) => void this.refused(error as Error & { data?: ErrorData }));
  }

  start(): void {
    this.stopped = false;
    this.state("connecting");
    this.socket.connect();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.retryTimer);
    clearTimeout(this.reauthTimer);
    this.socket.disconnect();
    this.state("stopped");
  }

  /** Older items, ascending; `before` is the seq of the oldest one that you have. */
  async history(query: { contact_id?: string; before?: number; limit?: number }) {
    const answer = this.leafing.then(() => this.ask("history", query));
    this.leafing = answer.catch(() => {});
    return (await answer) as { items: Item[]; more: boolean } | Refusal;
  }

  private async handshake(give: (auth: object) => void): Promise<void> {
    let token = "";
    try {
      token = await this.options.token();
    } catch {
      // Without a token the server says `unauthorized`, and we try again later.
    }
    await this.storing;
    let stored: { cursor?: string; seq: number };
    try {
      stored = await this.options.store.load();
    } catch (error) {
      // Without the cursor we would get what we have, or miss what we lack.
      this.failed(error);
      this.socket.disconnect();
      if (!this.stopped) this.retry(this.backoff(), "store");
      return;
    }
    this.seq = stored.seq;
    this.armReauth(token);
    give({ token, device: this.options.device, cursor: stored.cursor });
  }

  private async store(page: Page, ack: () => void): Promise<void> {
    const fresh = page.items.filter((item) => item.seq > this.seq);
    const seq = page.items.at(-1)?.seq ?? this.seq;
    try {
      if (fresh.length > 0) {
        await this.options.store.save(fresh, page.cursor, seq);
        this.seq = seq;
      }
    } catch (error) {
      // Not stored, not acked: the server sends the page again.
      return this.failed(error);
    }
    ack();
    if (fresh.length > 0) this.tell(() => this.options.onItems?.(fresh));
  }

  private async ended(reason: string): Promise<void> {
    clearTimeout(this.reauthTimer);
    if (this.stopped) return;
    switch (reason) {
      case "replaced":
      case "revoked":
        this.stopped = true;
        return this.state("stopped", reason);
      case "token_expired":
        return this.retry(0, reason);
      case "draining":
      case "too_slow":
        return this.retry(Math.random() * 5_000, reason);
      default:
        return this.retry(this.backoff(), reason);
    }
  }

  private async refused(error: Error & { data?: ErrorData }): Promise<void> {
    clearTimeout(this.reauthTimer);
    if (this.stopped) return;
    const code = error.data?.code ?? "unreachable";
    switch (code) {
      case "revoked":
        this.stopped = true;
        return this.state("stopped", code);
      case "cursor_reset":
        await this.storing;
        try {
          await this.options.store.clear();
        } catch (error) {
          // The old cursor is refused again, and the store cleared then.
          this.failed(error);
          return this.retry(this.backoff(), "store");
        }
        this.seq = 0;
        return this.retry(0, code);
      case "retry_later":
        return this.retry(((error.data?.retry_after_s ?? 1) + Math.random()) * 1_000, code);
      default:
        // token_expired and unauthorized too: the next try fetches a new token, but never in a tight loop.
        return this.retry(this.backoff(), code);
    }
  }

  private backoff(): number {
    const longest = Math.min(FIRST_RETRY_MS * 2 ** this.failures++, LONGEST_RETRY_MS);
    return longest / 2 + Math.random() * (longest / 2);
  }

  private retry(ms: number, reason: string): void {
    this.state("waiting", reason);
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => {
      this.state("connecting");
      this.socket.connect();
    }, ms);
  }

  /** Prolongs the connection before the token's end; if that fails, the server says token_expired and we reconnect. */
  private armReauth(token: string): void {
    clearTimeout(this.reauthTimer);
    const left = expiry(token) - Date.now();
    if (!(left > 0)) return;
    this.reauthTimer = setTimeout(() => void this.reauth(), Math.max(left - REAUTH_MS, left / 2));
  }

  private async reauth(): Promise<void> {
    try {
      const token = await this.options.token();
      const answer = (await this.ask("reauth", { token })) as { ok: boolean };
      if (answer.ok) this.armReauth(token);
    } catch {
      // The old expiry stands.
    }
  }

  private ask(event: string, payload: object): Promise<unknown> {
    return this.socket.timeout(ANSWER_MS).emitWithAck(event, payload);
  }

  private state(state: State, reason?: string): void {
    this.tell(() => this.options.onState?.(state, reason));
  }

  /** Calls the page's own code. What it throws, now or later, must not keep us from storing, acking and coming back. */
  private tell(callback: () => unknown): void {
    try {
      Promise.resolve(callback()).catch((error) => this.failed(error));
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    try {
      (this.options.onError ?? console.error)(error);
    } catch {
      // There is nobody left to tell.
    }
  }
}

interface ErrorData {
  code?: string;
  retry_after_s?: number;
}

/** The token's end in ms since 1970, read without checking anything; NaN if it has none. */
function expiry(token: string): number {
  try {
    const payload = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(atob(payload)).exp * 1_000;
  } catch {
    return NaN;
  }
}
