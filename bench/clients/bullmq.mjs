// BullMQ's producer and worker, as its documentation recommends for speed.
import { load, produce, Tally } from './frame.mjs';

const { Queue, Worker } = load('bullmq');
const [role, name, spec] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(process.env.BENCH_PORT), maxRetriesPerRequest: null };
const BULK = 500;

if (role === 'produce') {
  const queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: true } });
  await queue.waitUntilReady();
  await produce(spec, {
    single: async (data) => { await queue.add('n', { data }); return 1; },
    bulk: async (data) => {
      await queue.addBulk(Array.from({ length: BULK }, () => ({ name: 'n', data: { data } })));
      return BULK;
    },
  });
} else {
  const tally = new Tally();
  new Worker(name, async (job) => tally.handled(job.data.data), { connection, concurrency: 100 });
}
