// node golden.mjs PROTOCOL.MD: reads and writes each golden frame of the page, to the byte, and computes the proof of its table.

import { readFileSync } from "node:fs";
import { FrameReader, authOf, frame } from "./wire.mjs";

const text = readFileSync(process.argv[2], "utf8");
const golden = text.match(/```golden\n(.*?)```/s)[1].trim().split("\n");
const ofTable = (row) => text.match(RegExp(`\\| ${row} \\| \`(\\w+)\``))[1];

for (const line of golden) {
  const [name, hex] = line.split(": ");
  const [message] = new FrameReader().read(Buffer.from(hex, "hex"));
  if (frame(message).toString("hex") !== hex) throw new Error(`${name} is written in another way`);
}
const { proof } = authOf(ofTable("key"), Buffer.from(ofTable("nonce"), "hex"));
if (proof.toString("hex") !== ofTable("proof")) throw new Error("the proof is another");
console.log(`${golden.length} frames`);
