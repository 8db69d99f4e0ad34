// A worker: leases jobs, runs them, and tells how they ended. Headings in quotation marks are those of protocol.md.
//
//     node worker.mjs          until SIGTERM or Ctrl-C

import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Job } from "./job.mjs";
import { Session } from "./session.mjs";
import { Op, Refused, pack } from "./wire.mjs";

const REPORT_MS = 200; // progress and log lines are collected for so long
const DRAIN_MS = 10_000; // so long may handlers go on after stop()
const FAREWELL_MS = 2_000; // so long may it take to give back what is left then
const LEASES_NAMED_MAX = 500; // of 9 bytes each, and IDENTIFY has 8 KiB
const TRY_AGAIN_MS = 1_000; // after the server refused an answer for a reason that passes

export class Worker {
  #queues;
  #handlers;
  #concurrency;
  #session;
  #held = new Map(); // token -> Job: every lease of which the server has not confirmed that it ended
  #waiting = []; // jobs for which no hand was free, see #take
  #running = 0; // hands at work
  #creditUnderWay = 0; // in answers that are not confirmed
  #work = new Set(); // promises of all that is being done
  #stopped = null; // the promise of stop(), once it was called
  #reportTimer = null;

  /** `queues`: names. `handlers`: by job name, `async (job) => result`. `options`: those of Session, and `concurrency`. */
  constructor(queues, handlers, { concurrency = 5, ...options }) {
    this.#queues = queues;
    this.#handlers = handlers;
    this.#concurrency = concurrency;
    this.#session = new Session({ ...options, about: () => this.#about(), reports: () => this.#reports() });
    this.#session.on("welcome", ({ lost }) => this.#onWelcome(lost));
    this.#session.on("jobs", (items) => items.forEach((item) => this.#take(item)));
    this.#session.on("revoke", (items) => items.forEach(([token]) => this.#lose(token, "the server took the job back")));
    this.#session.on("refused", (reports) => reports.forEach(([token]) => this.#lose(token, "the lease was lost")));
    this.#session.on("stop", () => this.stop());
    this.#session.on("trouble", (error) => console.error(`holdfast: ${error.message}`));
  }

  /** Works until stop() is called, here or (STOP) by an operator. Throws Refused when the server does not want us. */
  async run() {
    await this.#session.open();
    await this.#session.ended;
  }

  /** "Worker", STOP: takes no more jobs, lets those that run go on for DRAIN_MS, gives back the rest, leaves. */
  stop() {
    return (this.#stopped ??= this.#leave());
  }

  async #leave() {
    if (this.#session.isConnected) this.#subscribe([], 0); // else it is done when it is
    for (const job of this.#waiting.splice(0)) this.#release(job);
    await this.#within(DRAIN_MS);
    for (const job of this.#held.values()) this.#release(job);
    await this.#within(FAREWELL_MS);
    this.#session.close();
  }

  // The connection

  /** "Connecting": what IDENTIFY says of a worker. A lease that is not named here is pushed again: #take knows it. */
  #about() {
    const worker = { name: `${hostname()}:${process.pid}`, host: hostname(), pid: process.pid };
    return { worker, leases: [...this.#held.keys()].slice(0, LEASES_NAMED_MAX) };
  }

  #onWelcome(lost) {
    for (const token of lost) this.#lose(token, "the lease was lost while the connection was down");
    if (this.#stopped) this.#subscribe([], 0);
    else this.#subscribe(this.#queues, this.#freeHands());
  }

  #subscribe(queues, credit) {
    this.#do(this.#session.request(Op.SUBSCRIBE, queues, credit));
  }

  /** "Credit": SUBSCRIBE sets it. Answers that are sent again bring theirs with them. */
  #freeHands() {
    return Math.max(0, this.#concurrency - this.#running - this.#waiting.length - this.#creditUnderWay);
  }

  // Jobs

  /** "Leases": what was pushed into a broken connection is pushed again at no credit, so there may be more jobs than hands. */
  #take(item) {
    if (this.#held.has(item[0])) return; // IDENTIFY had no room for its name
    const job = new Job(item, () => this.#reportSoon());
    this.#held.set(job.token, job);
    if (this.#stopped) this.#release(job);
    else if (this.#running < this.#concurrency) this.#do(this.#run(job));
    else this.#waiting.push(job);
  }

  async #run(job) {
    this.#running += 1;
    const outcome = await outcomeOf(this.#handlers[job.name], job);
    this.#running -= 1;
    const next = this.#waiting.shift();
    if (next) this.#do(this.#run(next));
    const credit = next || this.#stopped ? 0 : 1;
    if (job.isOver) this.#session.credit(credit);
    else await this.#tell(job, outcome, credit);
  }

  #release(job) {
    if (job.isOver) return;
    this.#do(this.#tell(job, { op: Op.RELEASE, fields: [null] }));
    job.lose("the worker is stopping");
  }

  /** The lease is gone. Its handler may still be at work, and keeps its hand until it ends. */
  #lose(token, reason) {
    this.#held.get(token)?.lose(reason);
    this.#held.delete(token);
    this.#waiting = this.#waiting.filter((job) => job.token !== token);
  }

  /** Tells how the lease ends: ACK, FAIL or RELEASE. It stays held until that is confirmed, over any number of connections. */
  async #tell(job, outcome, credit = 0) {
    const report = job.takeReport();
    if (report) this.#session.report([report]); // before the answer: it counts only while the lease lives
    job.isOver = true;
    this.#creditUnderWay += credit;
    try {
      await this.#answer(job, outcome, credit);
    } catch (error) {
      if (!(error instanceof Refused) || outcome.op !== Op.ACK) throw error;
      await this.#answer(job, failure(error), credit); // a result that is too large, perhaps: the job must not stay as it is
    } finally {
      this.#creditUnderWay -= credit;
      this.#held.delete(job.token);
    }
  }

  /** Sends one answer until the server has taken it, or says that the lease is lost. Throws Refused: nothing of it was done, its credit was not given. */
  async #answer(job, { op, fields }, credit) {
    for (;;) {
      try {
        for (const [, , message] of await this.#session.request(op, [[job.token, job.queue, job.id, ...fields]], credit)) console.error(`holdfast: ${message}`);
        return;
      } catch (error) {
        if (!(error instanceof Refused && error.isRetryable)) throw error;
        await sleep(TRY_AGAIN_MS);
      }
    }
  }

  // Reports: "Worker", HEARTBEAT

  #reports() {
    return [...this.#held.values()].map((job) => job.takeReport()).filter((report) => report !== null);
  }

  #reportSoon() {
    this.#reportTimer ??= setTimeout(() => {
      this.#reportTimer = null;
      this.#session.beat();
    }, REPORT_MS);
  }

  // Waiting for the end

  #do(promise) {
    const done = promise.catch((error) => console.error(`holdfast: ${error.message}`)).then(() => this.#work.delete(done));
    this.#work.add(done);
  }

  /** Waits until all that is being done is done, but not longer. */
  #within(ms) {
    return Promise.race([Promise.all(this.#work), sleep(ms, null, { ref: false })]);
  }
}

/** Runs the handler; what came of it as the fields of ACK or FAIL behind token, queue and id. Never throws. */
async function outcomeOf(handler, job) {
  try {
    if (!handler) throw new Error(`this worker has no handler for jobs named ${job.name}`);
    const result = await handler(job);
    return { op: Op.ACK, fields: [result === undefined ? null : pack(result)] };
  } catch (error) {
    return failure(error);
  }
}

/** "Worker", FAIL: the fields for what a handler threw. */
function failure(error) {
  const told = { type: error?.constructor?.name ?? "Error", message: String(error?.message ?? error), traceback: String(error?.stack ?? "") };
  return { op: Op.FAIL, fields: [told, error?.retry_ms ?? null] };
}

async function main() {
  const worker = new Worker(["texts"], { "count-words": countWords }, { url: process.env.HOLDFAST_URL ?? "holdfast://127.0.0.1:4653", key: process.env.HOLDFAST_KEY });
  process.once("SIGTERM", () => worker.stop()); // a second one ends us at once
  process.once("SIGINT", () => worker.stop());
  await worker.run();
}

async function countWords(job) {
  const words = job.data.text.split(/\s+/).filter(Boolean);
  const counts = {};
  for (const [index, word] of words.entries()) {
    job.signal.throwIfAborted();
    counts[word] = (counts[word] ?? 0) + 1;
    job.progress({ percent: Math.round((100 * (index + 1)) / words.length) });
  }
  job.log(`counted ${words.length} words`);
  return counts;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
