// Runs a file of vectors in the module, which gets no imports: node node.mjs MODULE FILE
import { readFileSync, writeFileSync } from "node:fs";

const [modulePath, vectorPath] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(modulePath), {});
const { alloc, run, memory } = instance.exports;

const vectors = readFileSync(vectorPath);
const at = alloc(vectors.length) >>> 0;
new Uint8Array(memory.buffer, at, vectors.length).set(vectors);
const answer = BigInt.asUintN(64, run(at, vectors.length)); // address in the upper 32 bits, length in the lower
const bytes = new Uint8Array(memory.buffer, Number(answer >> 32n), Number(answer & 0xffffffffn));
writeFileSync(1, bytes);
