// close(), process exit, workers and garbage collection: no crash, no hang, no leak.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { beforeEach, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ClerkClient, ClerkError } from 'clerk-auth';
import native from '../lib/native.js';
import { OPTIONS, bareClient } from './support/addon.mjs';
import { run } from './support/run.mjs';
import { ADA, startSim } from './support/sim.mjs';
import { UserTable } from './support/user-table.mjs';

const sim = await startSim();
beforeEach(async () => {
  await sim.reset();
  await sim.user('user_1', ADA);
});

const isClosed = (error) => error instanceof ClerkError && error.code === 'CLERK_CLOSED';

test('use after close() throws CLERK_CLOSED, close() may be repeated', async () => {
  const clerk = new ClerkClient(sim.settings());
  const request = await sim.bearer();
  const auth = await clerk.authenticate(request);
  await clerk.close();
  await clerk.close();
  for (const call of [
    () => clerk.authenticate(request),
    () => clerk.verifyToken('x'),
    () => clerk.warmUp(),
    () => clerk.webhooks.handle({ headers: {}, body: '' }),
  ]) {
    await assert.rejects(call, isClosed);
  }
  for (const call of [
    () => clerk.authenticateCached(request),
    () => clerk.invalidateAll(),
    () => clerk.invalidateUser('user_1'),
    () => clerk.stats(),
    () => clerk.setTime(1),
  ]) {
    assert.throws(call, isClosed);
  }
  // Earlier results stay valid.
  assert.equal(auth.userId, 'user_1');
  assert.equal(auth.sessionClaims.sub, 'user_1');
  if (Symbol.asyncDispose) {
    const disposed = new ClerkClient(sim.settings());
    await disposed[Symbol.asyncDispose]();
    assert.throws(() => disposed.stats(), isClosed);
  }
});

test('close() cancels calls that wait for Clerk', async () => {
  const clerk = new ClerkClient(sim.settings({ timeoutMs: 10_000 }));
  await sim.faults({ path: '/jwks', delay_ms: 8000 });
  const request = await sim.bearer();
  const began = performance.now();
  const calls = Array.from({ length: 12 }, () => clerk.authenticate(request));
  calls.push(clerk.warmUp(), clerk.verifyToken(await sim.token()));
  while ((await sim.count()) === 0) await new Promise((resolve) => setImmediate(resolve));
  const [ended] = await Promise.all([Promise.allSettled(calls), clerk.close()]);
  assert.ok(performance.now() - began < 3000);
  for (const { value, reason } of ended) assert.ok(isClosed(reason), `${value?.status} ${reason}`);
});

test('close() waits for a running store method', async () => {
  const users = new UserTable();
  const clerk = new ClerkClient(sim.settings({ users }));
  let release;
  const called = new Promise((resolve) => {
    users.before = () => {
      resolve();
      return new Promise((open) => (release = open));
    };
  });
  const call = clerk.authenticate(await sim.bearer({ user: 'user_1' }));
  await called;
  const closed = clerk.close();
  users.before = () => {};
  release();
  assert.equal((await call).status, 'signed-in');
  await closed;
});

test('close() prevents the fetch for a missing row', async () => {
  const users = new UserTable();
  const clerk = new ClerkClient(sim.settings({ users, rowCheckTtlS: 0, userTtlS: 0 }));
  const request = await sim.bearer({ user: 'user_1' });
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  users.rows.length = 0;
  const before = await sim.count();
  const called = new Promise((resolve) => (users.before = resolve));
  const call = clerk.authenticate(request);
  await called;
  await clerk.close();
  await assert.rejects(call, isClosed);
  assert.equal(await sim.count(), before);
});

test('native functions reject foreign objects', async () => {
  const client = bareClient();
  for (const other of [{}, Object.create(native.Client.prototype), new Date(), null]) {
    assert.throws(() => native.Client.prototype.stats.call(other), TypeError);
  }
  for (const invalid of [{}, null, undefined, 'x', client]) {
    assert.throws(() => native.result.status(invalid), TypeError);
    assert.throws(() => native.pending.request(invalid), TypeError);
  }
  assert.throws(() => native.Client(OPTIONS, () => {}), TypeError);
  assert.throws(() => client.authenticateCached('x'), TypeError);
  client.close();
  client.close();
  assert.throws(() => client.stats(), { code: 'CLERK_CLOSED' });
});

test('main thread and workers each have a client', async () => {
  const requests = await Promise.all(Array.from({ length: 20 }, (_, i) => sim.bearer({ user: `user_${i}` })));
  const workerData = { settings: sim.settings(), requests };
  const workers = Array.from(
    { length: 4 },
    () => new Worker(new URL('fixtures/worker.mjs', import.meta.url), { workerData }),
  );
  const exits = workers.map(async (worker) => {
    const exited = once(worker, 'exit');
    for await (const [message] of (await import('node:events')).on(worker, 'message')) {
      if (message === 'started') continue;
      assert.deepEqual(
        message,
        requests.map((_, i) => `user_${i}`),
      );
      break;
    }
    assert.deepEqual(await exited, [0]);
  });
  const clerk = sim.client();
  for (const [i, request] of requests.entries()) assert.equal((await clerk.authenticate(request)).userId, `user_${i}`);
  await Promise.all(exits);
  assert.equal((await clerk.authenticate(requests[0])).source, 'cache');
});

// The child's start counts, too: the bound is far below Clerk's delay, and far above the start on a busy machine.
const runInFlight = async (program, ...args) => {
  await sim.faults({ path: '/jwks', delay_ms: 50_000 });
  const settings = JSON.stringify(sim.settings({ timeoutMs: 60_000 }));
  const ended = await run(program, settings, sim.adminUrl, await sim.token(), ...args);
  assert.ok(ended.ms < 20_000, `${ended.ms} ms`);
  return ended;
};

test('terminate() ends a worker whose call waits for Clerk', async () => {
  const { code, signal, output } = await runInFlight('terminate.mjs');
  assert.deepEqual([code, signal, output], [0, null, 'terminated soon\nno-credentials\n']);
});

test('process.exit() ends the process while a call waits for Clerk', async () => {
  const { code, signal } = await runInFlight('exit-in-flight.mjs', 'exit');
  assert.deepEqual([code, signal], [7, null]);
});

test('close() lets the process end while a call waits for Clerk', async () => {
  const { code, signal, output } = await runInFlight('exit-in-flight.mjs', 'close');
  assert.deepEqual([code, signal], [0, null]);
  assert.equal(output, 'CLERK_CLOSED\nclosed\n');
});

test('unclosed clients are garbage collected', async () => {
  const { code, signal, output } = await run(
    'gc.mjs',
    JSON.stringify(sim.settings()),
    await sim.token({ user: 'user_1' }),
  );
  assert.deepEqual([code, signal, output], [0, null, 'signed-in,unavailable collected\n']);
});
