// node producing.mjs URL [KEY]: a Producer of the queue `work` that a test moves: each line of its input is a call { call, method, args }, and is
// answered by a line { call, value } or { call, error }.

import { createInterface } from "node:readline";
import { Producer } from "./producer.mjs";

const say = (told) => console.log(JSON.stringify(told));
const told = ({ name, code, message }) => ({ name, code, message });

const [url, key] = process.argv.slice(2);
const producer = new Producer("work", { url, key });
await producer.open();
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { call, method, args } = JSON.parse(line);
  producer[method](...args).then(
    (value) => say({ call, value }),
    (error) => say({ call, error: told(error) }),
  );
}
producer.close();
