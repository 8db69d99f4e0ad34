// node kinds.mjs URL: adds a job with data of every kind, to be returned as its result, and looks whether they come back as they were.
// support/javascript.py has the same values.

import { Producer } from "./producer.mjs";
import { pack } from "./wire.mjs";

export const KINDS = {
  nil: null,
  truth: [true, false],
  whole: [0, -1, 127, 128, -32, -33, 65536, 4294967295, 4294967296, -2147483648, -2147483649, 9007199254740991],
  big: [9007199254740993n, 9223372036854775807n, -9223372036854775808n, 18446744073709551615n],
  broken: [0.5, -1.25, 1e300, 5e-324, Infinity],
  text: ["", "plain", "Grüße, 世界 🐘 \u0000", "long ".repeat(20000)],
  bytes: [new Uint8Array(0), new Uint8Array([0, 255, 193]), new Uint8Array(70000)],
  nested: [{ a: { b: { c: [[], {}, [[["deep"]]]] } } }],
};

const producer = new Producer("work", { url: process.argv[2] });
await producer.open();
const result = await producer.wait(await producer.add("echo", KINDS));
producer.close();
if (Buffer.compare(pack(result), pack(KINDS)) !== 0) throw new Error("something came back otherwise");
console.log("the same");
