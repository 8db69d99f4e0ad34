// The bytes of the protocol: numbers, msgpack, frames, proofs of keys, job ids. Nothing here knows of sockets or time-outs.
// Headings in quotation marks are those of protocol.md.

import { createHash, createHmac, randomBytes } from "node:crypto";
import { decode, encode } from "@msgpack/msgpack";

export const PROTOCOL = 1;

/** "Opcodes": those that a producer and a worker need. */
export const Op = Object.freeze({
  HELLO: 1, IDENTIFY: 2, WELCOME: 3, GOODBYE: 4, GOAWAY: 5, HEARTBEAT: 6,
  ENQUEUE: 16, WAIT: 17,
  SUBSCRIBE: 32, CREDIT: 33, ACK: 34, FAIL: 35, RELEASE: 36,
  GET: 64,
  REPLY: 128, ERROR: 129, JOBS: 130, REVOKE: 131, STOP: 133,
});

/** "States": those in which a job has ended. */
export const State = Object.freeze({ COMPLETED: 5, FAILED: 6, CANCELLED: 7 });

/** "Errors": those that this client acts upon. */
export const Code = Object.freeze({ FRAME_TOO_LARGE: 101, NO_COMMON_PROTOCOL: 102, DRAINING: 502 });

/** "Errors", column retry?: what is refused with one of these may be sent again, a moment later. */
const RETRYABLE = new Set([104, 500, 501, 502, 503, 900]);

/** What the server answered in place of a reply. `details` is a map, see "Errors". */
export class Refused extends Error {
  constructor(code, message, details = {}) {
    super(message);
    this.name = "Refused";
    this.code = code;
    this.details = details;
  }

  get isRetryable() {
    return RETRYABLE.has(this.code);
  }
}

// JavaScript's numbers are doubles, msgpack's are not. A whole number that needs 64 bits goes out as an integer (the library would make it a float),
// and comes in as a number if a double holds it exactly, else as a BigInt. Tokens pass 2^53 after 8,191 starts of the daemon: they must not be rounded.

/** Bytes of msgpack for any value of numbers, BigInts, strings, booleans, null, Uint8Arrays, arrays and plain objects. */
export function pack(value) {
  return encode(eachLeaf(value, sendable), { useBigInt64: true });
}

/** The value of such bytes. */
export function unpack(bytes) {
  return eachLeaf(decode(bytes, { useBigInt64: true }), (leaf) => (isSafeBigInt(leaf) ? Number(leaf) : leaf));
}

/** Text is UTF-8, so half a surrogate pair becomes a question mark of Unicode. */
function sendable(leaf) {
  if (typeof leaf === "string") return Buffer.from(leaf).toString();
  return needs64Bits(leaf) ? BigInt(leaf) : leaf;
}

const needs64Bits = (leaf) => Number.isSafeInteger(leaf) && (leaf > 0xffffffff || leaf < -0x80000000);
const isSafeBigInt = (leaf) => typeof leaf === "bigint" && Number.isSafeInteger(Number(leaf));

function eachLeaf(value, change) {
  if (Array.isArray(value)) return value.map((item) => eachLeaf(item, change));
  if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return change(value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, eachLeaf(item, change)]));
}

/** "Frames": a length of 4 bytes, big-endian, then one array of msgpack. */
export function frame(message) {
  const body = pack(message);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

/** Makes messages of what comes in, wherever the network cut it. */
export class FrameReader {
  #rest = Buffer.alloc(0);
  #bytesMax;

  /** `bytesMax`: of the longest frame that is taken; "Limits", FRAME_BYTES_MAX. */
  constructor(bytesMax = 4_194_304) {
    this.#bytesMax = bytesMax;
  }

  /** The messages, arrays with the opcode first, that `chunk` completes. */
  *read(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 4) {
      const length = this.#rest.readUInt32BE();
      if (length === 0 || length > this.#bytesMax) throw new Error(`a frame of ${length} bytes: is this a Holdfast server?`);
      const end = 4 + length;
      if (this.#rest.length < end) return;
      const body = this.#rest.subarray(4, end);
      this.#rest = this.#rest.subarray(end);
      yield unpack(body);
    }
  }
}

/** "Keys": the map `auth` that proves, for the connection of this nonce alone, that we have the key `hfk_ID_SECRET`. */
export function authOf(key, nonce) {
  const [, id, hex] = key.split("_");
  const secret = Buffer.from(hex, "hex");
  const digest = createHash("sha256").update(secret).digest();
  const mask = createHmac("sha256", digest).update(nonce).digest();
  return { key: id, proof: secret.map((byte, at) => byte ^ mask[at]) };
}

/** "Producer": a new job id as 16 raw bytes, a UUIDv7 (RFC 9562, section 5.7). */
export function newId() {
  const id = randomBytes(16);
  id.writeUIntBE(Date.now(), 0, 6);
  id[6] = 0x70 | (id[6] & 0x0f);
  id[8] = 0x80 | (id[8] & 0x3f);
  return id;
}

/** "Producer": the text of a job id: that of 16 raw bytes is their hex digits. */
export function idText(id) {
  return typeof id === "string" ? id : Buffer.from(id).toString("hex");
}
