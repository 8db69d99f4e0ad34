// What a handler sees of its job, and what the worker knows of the lease behind it. Headings in quotation marks are those of protocol.md.

import { pack, unpack } from "./wire.mjs";

/**
 * `queue`, `id`, `name`, `attempt` (1 = first run), `attempts`; `token` rises with every run of the job: give it to what must not be overwritten by an
 * older run; `signal` is aborted when the handler should stop, for its answer would be refused.
 */
export class Job {
  #payload;
  #onReport;
  #report = null;
  #abort = new AbortController();

  /** How the lease ends has been told, or it is lost: nothing about it may be sent any more. */
  isOver = false;

  /** "Worker", JOBS: one of its items. */
  constructor([token, queue, id, name, payload, attempt, attempts], onReport) {
    Object.assign(this, { token, queue, id, name, attempt, attempts, signal: this.#abort.signal });
    this.#payload = payload;
    this.#onReport = onReport;
  }

  get data() {
    return unpack(this.#payload);
  }

  /** Any value, for people who look at the job: `{ percent: 40 }`. Never waits; only the newest is sent. */
  progress(value) {
    this.#news()[3] = pack(value);
  }

  /** A line for the job's log. Never waits. */
  log(text) {
    this.#news()[4].push([Date.now(), text]);
  }

  /** The lease ends without an answer of the handler, which is asked to stop. */
  lose(reason) {
    this.isOver = true;
    this.#abort.abort(new Error(reason));
  }

  /** "Worker", HEARTBEAT: the report `[token, queue, id, progress, lines]` of what is new, or null. It is new no longer. */
  takeReport() {
    const report = this.isOver ? null : this.#report;
    this.#report = null;
    return report;
  }

  #news() {
    this.#onReport();
    return (this.#report ??= [this.token, this.queue, this.id, null, []]);
  }
}

/** Throw it from a handler: this attempt has failed; try again after `retry_ms` (-1 = never), whatever the job's own policy says. */
export class RetryAfter extends Error {
  constructor(message, retry_ms) {
    super(message);
    this.retry_ms = retry_ms;
  }
}
