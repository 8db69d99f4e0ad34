// A producer: adds jobs to one queue, and waits for their results. Headings in quotation marks are those of protocol.md.
//
//     node producer.mjs "the text whose words are to be counted"

import { fileURLToPath } from "node:url";
import { Session } from "./session.mjs";
import { Op, Refused, State, idText, newId, pack, unpack } from "./wire.mjs";

/** The job has ended otherwise than by completing. `job` is its map, see "Reading". */
export class JobFailed extends Error {
  constructor(job) {
    const last = job.errors.at(-1);
    super(job.state === State.CANCELLED ? "the job was cancelled" : `${last?.type ?? "error"}: ${last?.message ?? ""}`);
    this.name = "JobFailed";
    this.job = job;
  }
}

export class Producer {
  #queue;
  #session;

  /** `options`: `url` like holdfast://127.0.0.1:4653, and `key` where the server asks for one. */
  constructor(queue, options) {
    this.#queue = queue;
    this.#session = new Session(options);
  }

  open() {
    return this.#session.open();
  }

  close() {
    this.#session.close();
  }

  /** Adds a job; resolves to its id once the job is on disk. `options`: `id`, and those of "Producer" by their names there. Throws Refused. */
  async add(name, data, options = {}) {
    const [id] = await this.addMany([[name, data, options]]);
    return id;
  }

  /** Adds all of `jobs` (`[name, data, options]` each), or none of them; resolves to their ids. */
  async addMany(jobs) {
    if (jobs.length === 0) return [];
    const items = jobs.map(([name, data, options]) => item(name, data, options));
    await this.#session.request(Op.ENQUEUE, this.#queue, items, true); // what it tells of is jobs that were there before: as good as new
    return items.map(([id]) => idText(id));
  }

  /** "Producer", WAIT: resolves to the job's result when it has completed. Throws JobFailed if it ends otherwise. */
  async wait(id) {
    const job = await this.#session.request(Op.WAIT, this.#queue, id);
    if (job.state !== State.COMPLETED) throw new JobFailed(job);
    return job.result === null ? null : unpack(job.result);
  }

  /** "Reading", GET: the job's map. */
  get(id) {
    return this.#session.request(Op.GET, this.#queue, id);
  }
}

/** "Producer": the item `[id, name, payload, options]` of an ENQUEUE. An id that we make up goes as raw bytes: the server need not look it up. */
function item(name, data, { id = newId(), ...options } = {}) {
  return [id, name, pack(data), options];
}

async function main(text) {
  const producer = new Producer("texts", { url: process.env.HOLDFAST_URL ?? "holdfast://127.0.0.1:4653", key: process.env.HOLDFAST_KEY });
  await producer.open();
  const id = await producer.add("count-words", { text }, { attempts: 3, backoff: { kind: "exponential", delay_ms: 1000, cap_ms: 60_000 } });
  console.log(`added ${id}`);
  console.log("result", await producer.wait(id));
  producer.close();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2] ?? "to be or not to be");
