// A session: requests and their answers over a connection that may break at any time. When it does, connect again, resume, and deal with what was
// not answered as "Requests and sessions" says. Headings in quotation marks are those of protocol.md.
//
// The invariant that everything rests on: a request stays in #unanswered, in the order of numbers, from request() until its promise is settled.

import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { Code, FrameReader, Op, PROTOCOL, Refused, authOf, frame, idText } from "./wire.mjs";

const HANDSHAKE_MS = 5_000; // from connecting to WELCOME
const RECONNECT_MS_MAX = 2_000; // "Leases": a worker that holds leases tries at least this often

/**
 * Emits "welcome" (map) after each WELCOME, before anything is sent again; "jobs" (items), "revoke" (items), "stop"; "trouble" (error) when the
 * connection broke or could not be made: the session goes on trying by itself.
 */
export class Session extends EventEmitter {
  #url;
  #key;
  #about; // what IDENTIFY says of a worker, if this is one: () => ({ worker, leases })
  #reports; // what a worker has to report with the next heartbeat: () => reports
  #id = randomBytes(16).toString("hex"); // "Connecting": 128 random bits in hex
  #socket = null;
  #isWelcome = false;
  #isClosed = false;
  #limits = {};
  #lastNumber = 0;
  #unanswered = new Map(); // number -> { op, fields, resolve, reject, wasRefused }
  #watchdog;
  #heart;
  #end;

  constructor({ url, key = null, about = () => ({}), reports = () => [] }) {
    super();
    this.#url = new URL(url);
    this.#key = key;
    this.#about = about;
    this.#reports = reports;
    this.ended = new Promise((resolve, reject) => (this.#end = { resolve, reject }));
    this.ended.catch(() => {}); // not everybody looks at it
  }

  /** Connects, and goes on connecting until close(). Resolves at the first WELCOME; rejects when the server refuses us for good. */
  async open() {
    const welcome = new Promise((resolve) => this.once("welcome", resolve));
    this.#stayConnected().catch((error) => this.#giveUp(error));
    await Promise.race([welcome, this.ended]);
  }

  get isConnected() {
    return this.#isWelcome;
  }

  /** Sends a request, now or when there is a connection. Resolves to the reply's result; rejects with Refused. */
  request(op, ...fields) {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) reject(new Error("the session is closed"));
      else this.#ask({ op, fields, resolve, reject, wasRefused: false });
    });
  }

  /** "Credit": lets the server push so many jobs more. Nothing to do without a connection: SUBSCRIBE sets the credit of the next. */
  credit(amount) {
    if (this.#isWelcome && amount > 0) this.#write([Op.CREDIT, amount]);
  }

  /** "Connecting": GOODBYE ends the session, so first wait for the answers that matter. */
  close() {
    this.#isClosed = true;
    if (this.#isWelcome) this.#write([Op.GOODBYE]);
    this.#socket?.end();
    this.#end.resolve();
    this.#giveUp(new Error("the session is closed"));
  }

  // The connection

  async #stayConnected() {
    for (let failures = 1; !this.#isClosed; failures += 1) {
      let wanted_ms; // by the server: "Keys", BUSY after ten wrong ones
      try {
        await this.#converse(() => (failures = 0));
      } catch (error) {
        if (this.#isClosed) return;
        if (error instanceof Refused && !error.isRetryable) throw error;
        wanted_ms = error.details?.retry_after_ms;
        if (failures <= 1) this.emit("trouble", error); // not at each attempt
      }
      await sleep(wanted_ms ?? Math.random() * Math.min(RECONNECT_MS_MAX, 50 * 2 ** failures));
    }
  }

  /** One connection, from its first byte to its last. Throws what ended it, if it did not just close. */
  async #converse(onWelcome) {
    const socket = (this.#socket = this.#dial());
    const reader = new FrameReader();
    this.once("welcome", onWelcome);
    this.#watch(HANDSHAKE_MS);
    try {
      for await (const chunk of socket) {
        this.#watchdog.refresh();
        for (const message of reader.read(chunk)) this.#receive(message);
      }
    } finally {
      this.#isWelcome = false;
      this.off("welcome", onWelcome);
      clearTimeout(this.#watchdog);
      clearInterval(this.#heart);
      socket.destroy();
    }
  }

  #dial() {
    const { protocol, hostname, port } = this.#url;
    const host = hostname.replace(/^\[(.*)\]$/, "$1"); // of IPv6
    const socket = (protocol === "holdfasts:" ? tls : net).connect({ host, port: Number(port || 4653), servername: net.isIP(host) ? "" : host });
    return socket.setNoDelay(true);
  }

  /** A peer that is gone does not always say so: end a connection on which nothing came for so long. */
  #watch(silence_ms) {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#socket.destroy(new Error(`no word from the server for ${silence_ms} ms`)), silence_ms);
  }

  #write(message) {
    this.#socket.write(frame(message));
  }

  #receive([op, ...fields]) {
    switch (op) {
      case Op.HELLO: return this.#identify(...fields);
      case Op.WELCOME: return this.#welcome(...fields);
      case Op.REPLY: return this.#settle(fields[0], (request) => request.resolve(fields[1] ?? null));
      case Op.ERROR: return this.#refuse(...fields);
      case Op.JOBS: return this.emit("jobs", ...fields);
      case Op.REVOKE: return this.emit("revoke", ...fields);
      case Op.STOP: return this.emit("stop");
      // GOAWAY: the server will close the connection, and stayConnected() does the rest. Anything else: a newer server says more than we understand.
    }
  }

  // The handshake: "Connecting"

  #identify({ protocol: [min, max], limits, nonce }) {
    if (PROTOCOL < min || PROTOCOL > max) throw new Refused(Code.NO_COMMON_PROTOCOL, `the server speaks protocol ${min} to ${max}, this client speaks ${PROTOCOL}`);
    this.#limits = limits;
    const auth = this.#key ? { auth: authOf(this.#key, nonce) } : {};
    this.#write([Op.IDENTIFY, { protocol: PROTOCOL, client: "protocol-js 1", session: this.#id, leases: [], ...auth, ...this.#about() }]);
  }

  #welcome(info) {
    const unanswered = [...this.#unanswered];
    this.#unanswered.clear();
    this.#isWelcome = true;
    this.#watch(3 * info.heartbeat_ms);
    this.#heart = setInterval(() => this.beat(), info.heartbeat_ms / 2);
    this.emit("welcome", info); // a worker sends SUBSCRIBE here: it goes before the rest
    this.#resume(unanswered, info);
  }

  // Requests: "Requests and sessions"

  #ask(request, number = ++this.#lastNumber) {
    const bytes = frame([request.op, number, ...request.fields]); // throws what cannot be packed, before anything is remembered of it
    this.#unanswered.set(number, request);
    if (!this.#isWelcome) return;
    if (bytes.length - 4 <= this.#limits.frame_bytes) this.#socket.write(bytes);
    else this.#refuse(number, Code.FRAME_TOO_LARGE, `a frame of ${bytes.length} bytes: the server takes ${this.#limits.frame_bytes}`);
  }

  #settle(number, how) {
    const request = this.#unanswered.get(number);
    this.#unanswered.delete(number);
    if (request) how(request);
  }

  #refuse(number, code, message, details) {
    const error = new Refused(code, message, details);
    if (!this.#isWelcome || closes(code)) throw error;
    const request = this.#unanswered.get(number);
    if (code === Code.DRAINING && request) request.wasRefused = true; // it goes to the server that comes next: nobody need see a restart
    else this.#settle(number, ({ reject }) => reject(error));
  }

  /** After WELCOME: deals with each request that has no answer. Those that keep their number go first, so that numbers rise. */
  #resume(unanswered, { resumed, last_request, last_refused }) {
    const again = [];
    for (const [number, request] of unanswered) {
      if (request.op === Op.SUBSCRIBE) request.resolve(null); // belongs to the connection: "welcome" has sent it anew
      else if (request.wasRefused) again.push(withTextIds(request));
      else if (!resumed) this.#ask(withTextIds(request), number);
      else if (number > last_request) this.#ask(request, number);
      else if (request.op === Op.ENQUEUE) number > last_refused ? request.resolve([]) : again.push(withTextIds(request));
      else if (MUST_ASK_AGAIN.has(request.op)) again.push(request);
      else request.resolve([]); // it was applied
    }
    for (const request of again) this.#ask({ ...request, wasRefused: false });
  }

  #giveUp(error) {
    this.#isClosed = true;
    this.#end.reject(error);
    for (const { reject } of this.#unanswered.values()) reject(error);
    this.#unanswered.clear();
  }

  // Heartbeats: "Worker"

  /** A heartbeat renews all leases, and its answer keeps the watchdog quiet. */
  beat() {
    if (this.#isWelcome) this.report(this.#reports());
  }

  /** Sends reports with a heartbeat. Emits "refused" (those of them whose lease is lost). */
  report(reports) {
    this.request(Op.HEARTBEAT, reports).then(
      (refused) => this.emit("refused", refused.map(([index]) => reports[index])),
      (error) => this.#isClosed || this.emit("trouble", error),
    );
  }
}

/** "Errors": these codes close the connection, as does whatever answers IDENTIFY. */
const closes = (code) => code >= 100 && code <= 200;

/** At or below last_request these were applied too, but we need what they answer. */
const MUST_ASK_AGAIN = new Set([Op.ACK, Op.FAIL, Op.RELEASE, Op.WAIT, Op.GET]);

/** "Requests and sessions": raw ids are not looked up, so an ENQUEUE that may have been applied before must not use them again. */
function withTextIds(request) {
  if (request.op !== Op.ENQUEUE) return request;
  const [queue, items, ...rest] = request.fields;
  return { ...request, fields: [queue, items.map(([id, ...item]) => [idText(id), ...item]), ...rest] };
}
