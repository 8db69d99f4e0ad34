// bunqueue's producer and worker, with the settings that made it fastest here.
import { load, produce, Tally } from './frame.mjs';

const { Queue, Worker } = load('bunqueue/client');
const [role, name, spec] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(process.env.BENCH_PORT) };
const options = process.env.BENCH_DURABLE ? { durable: true } : {};
const BULK = 1000;
const CALLS = 4;

if (role === 'produce') {
  const queue = new Queue(name, { connection, autoBatch: { enabled: false } });
  const many = (data) => Array.from({ length: BULK }, () => ({ name: 'n', data: { data }, opts: options }));
  await produce(spec, {
    single: async (data) => { await queue.add('n', { data }, options); return 1; },
    bulk: async (data) => {
      await Promise.all(Array.from({ length: CALLS }, () => queue.addBulk(many(data))));
      return BULK * CALLS;
    },
  });
} else {
  const tally = new Tally();
  new Worker(name, async (job) => { tally.handled(job.data.data); }, {
    connection, concurrency: 1000, batchSize: 1000, pollTimeout: 5000,
  });
}
