// Drives the example's client for tests/support/driven.py (Foreign), in lines of JSON:
//
//     node driver.mjs produce|work URL [CONCURRENCY]

import { createInterface } from "node:readline";
import { Producer } from "./producer.mjs";
import { Worker } from "./worker.mjs";

const [role, url, concurrency] = process.argv.slice(2);
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function produce() {
  const producer = new Producer("q", { url });
  const open = producer.open();
  open.catch(() => {}); // each call tells of it
  const calls = {
    add: async ({ name, data, options }) => (await open, producer.add(name, data, options)),
    wait: async ({ id }) => (await open, producer.wait(id)),
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: what, call, ...rest } = JSON.parse(line);
    if (what === "stop") break;
    calls[what](rest).then((value) => tell({ call, value }), (error) => tell({ call, error: `${error.name}: ${error.message}` }));
  }
  producer.close();
  process.exit(0);
}

async function work() {
  let letGo;
  const mayGo = new Promise((resolve) => (letGo = resolve));
  const handlers = {
    echo: async (job) => (tell({ note: `started ${job.id}` }), job.data),
    fail: async () => {
      throw new Error("no such file");
    },
    hold: async (job) => {
      tell({ note: `started ${job.id}` });
      const cancelled = new Promise((resolve) => job.signal.addEventListener("abort", resolve));
      await Promise.race([mayGo, cancelled.then(() => tell({ note: `cancelled ${job.id}` }))]);
      return job.data;
    },
  };
  const worker = new Worker(["q"], handlers, { url, concurrency: Number(concurrency) });
  createInterface({ input: process.stdin }).on("line", (line) => {
    const { do: what } = JSON.parse(line);
    if (what === "let_go") letGo();
    else worker.stop();
  });
  await worker.run();
  process.exit(0);
}

await (role === "produce" ? produce() : work());
