// The frame of a load process in JavaScript, for Node and Bun: what bench/clients/producing.py
// and tally.py are for Python. Clocks are Unix seconds, so that processes can be compared.

import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { createRequire } from 'node:module';

export const PAYLOAD = 'x'.repeat(200);
export const now = () => (performance.timeOrigin + performance.now()) / 1000;
export const load = createRequire(path.join(process.env.BENCH_MODULES, 'none.js'));

const stamped = () => `${now().toFixed(6)} `.padEnd(200, 'x');
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

// forms: name -> async (payload) => how many were added
export async function produce(text, forms) {
  const spec = JSON.parse(text);
  const add = forms[spec.form];
  console.log('ready');
  await new Promise((resolve) => readline.createInterface(process.stdin).once('line', resolve));
  const usedBefore = process.cpuUsage();
  const started = now();
  let added = 0;
  while (added < (spec.jobs ?? Infinity) && now() - started < (spec.seconds ?? Infinity)) {
    if (spec.per_s) {
      const pause = started + added / spec.per_s - now();
      if (pause > 0) await sleep(pause);
    }
    added += await add(spec.per_s ? stamped() : PAYLOAD);
  }
  const ended = now();
  const used = process.cpuUsage(usedBefore);
  console.log(JSON.stringify({
    jobs: added, started_at_s: started, ended_at_s: ended, cpu_s: (used.user + used.system) / 1e6,
  }));
  process.exit(0);
}

// The counter of this process, written down every 5 ms.
export class Tally {
  constructor() {
    const folder = process.env.BENCH_TALLY;
    this.counted = new Float64Array(3);
    this.isWritten = true;
    this.file = fs.openSync(path.join(folder, `handled-${process.pid}`), 'w');
    this.waits = fs.openSync(path.join(folder, `waits-${process.pid}`), 'w');
    setInterval(() => this.write(), 5);
  }

  handled(payload) {
    const at = now();
    if (!this.counted[0]) this.counted[1] = at;
    this.counted[0] += 1;
    this.counted[2] = at;
    this.isWritten = false;
    if (payload[0] !== 'x') {
      const wait = at - Number(payload.slice(0, payload.indexOf(' ')));
      fs.writeSync(this.waits, new Float64Array([wait]));
    }
  }

  write() {
    if (this.isWritten) return;
    this.isWritten = true;
    fs.writeSync(this.file, this.counted, 0, 24, 0);
  }
}
