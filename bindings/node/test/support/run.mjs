// Runs programs of `fixtures` as child processes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export function start(program, ...args) {
  const file = fileURLToPath(new URL(`../fixtures/${program}`, import.meta.url));
  // A small semi-space: its growth would hide a leak.
  const flags = ['--expose-gc', '--max-semi-space-size=1'];
  return spawn(process.execPath, [...flags, file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Runs a program to its end. Returns its exit, output and duration. */
export async function run(program, ...args) {
  const began = performance.now();
  const child = start(program, ...args);
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  const [code, signal] = await once(child, 'close');
  return { code, signal, output, ms: performance.now() - began };
}
