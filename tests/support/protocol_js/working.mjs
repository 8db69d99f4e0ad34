// node working.mjs URL CONCURRENCY: a Worker of the queue `work`, until SIGTERM. It says in lines what its handlers do; a line `go` on its input lets
// those that hold go on.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { RetryAfter } from "./job.mjs";
import { Worker } from "./worker.mjs";

const input = createInterface({ input: process.stdin });
const say = (did, job, more = {}) => console.log(JSON.stringify({ did, id: job.id, attempt: job.attempt, token: String(job.token), ...more }));

const handlers = {
  echo: (job) => job.data,

  async hold(job) {
    say("start", job);
    try {
      await once(input, "line", { signal: job.signal });
    } catch (error) {
      say("abort", job, { why: job.signal.reason.message });
      throw error;
    }
    say("end", job);
    return "held";
  },

  reports(job) {
    job.progress({ percent: 50 });
    job.log("half way: ½");
    return "reported";
  },

  flaky(job) {
    if (job.attempt === 1) throw new TypeError("the first time");
    if (job.attempt === 2) throw new RetryAfter("the second time", 1);
    return `at attempt ${job.attempt}`;
  },

  hopeless() {
    throw new RetryAfter("it will not get better", -1);
  },
};

const [url, concurrency] = process.argv.slice(2);
const worker = new Worker(["work"], handlers, { url, concurrency: Number(concurrency) });
process.once("SIGTERM", () => worker.stop());
await worker.run();
console.log(JSON.stringify({ did: "leave" }));
process.exit();
