// The way that fails of host.mjs, as a program: `way.mjs FAULT…` prints its port, and ends when its standard input does.
import { way } from './host.mjs';

const { url } = await way({ after() {} }, process.argv.slice(2));
console.log(new URL(url).port);
process.stdin.resume().on('end', () => process.exit());
