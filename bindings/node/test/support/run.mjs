// Programs of their own, for what would end this one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export function start(program, ...args) {
  const file = fileURLToPath(new URL(`../fixtures/${program}`, import.meta.url));
  // V8's nursery grows by megabytes when it likes: kept small, memory that is left behind stands out.
  const flags = ['--expose-gc', '--max-semi-space-size=1'];
  return spawn(process.execPath, [...flags, file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Runs it to its end: how it ended, what it said, how long it took. */
export async function run(program, ...args) {
  const began = performance.now();
  const child = start(program, ...args);
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  const [code, signal] = await once(child, 'close');
  return { code, signal, output, ms: performance.now() - began };
}
