// startPoller(): what one process revokes is rejected by another, and the thread ends with the client.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ClerkClient, ClerkError } from 'clerk-auth';
import { startSim } from './support/sim.mjs';

const sim = await startSim();

/** Starts a redis-server on a loopback port. */
async function startRedis() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  const folder = mkdtempSync(join(tmpdir(), 'clerk-redis-'));
  const server = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  after(() => {
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });
  for await (const line of createInterface({ input: server.stdout }))
    if (line.includes('Ready to accept')) return { sharedCache: `redis://127.0.0.1:${port}`, pid: server.pid };
  throw new Error('redis-server has not started');
}

const { sharedCache, pid } = await startRedis();
const SECRET = 'whsec_c2VjcmV0LW9mLXRoZS1jYWNoZQ==';
const settings = () => sim.settings({ sharedCache, sharedCacheRequired: true });

test('a revocation in one process is applied by another within a second', async (t) => {
  const clerk = new ClerkClient(settings());
  t.after(() => clerk.close());
  const request = await sim.bearer();
  const { authorization } = request;
  const auth = await clerk.authenticate(request);
  const fixture = fileURLToPath(new URL('fixtures/poller.mjs', import.meta.url));
  const other = spawn(process.execPath, [fixture, JSON.stringify({ settings: settings(), authorization })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => other.kill('SIGKILL'));
  const exited = once(other, 'exit');
  const lines = createInterface({ input: other.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'signed-in');
  const began = performance.now();
  clerk.revokeSession(auth.sessionId);
  assert.equal((await lines.next()).value, 'signed-out');
  assert.ok(performance.now() - began < 1000, `${performance.now() - began} ms`);
  assert.deepEqual(await exited, [0, null]);
});

test('a webhook leaves the event loop free while the shared cache does not respond', async (t) => {
  const clerk = new ClerkClient({ ...settings(), webhookSecrets: [SECRET], timeoutMs: 1000 });
  t.after(() => clerk.close());
  const request = await sim.bearer({ user: 'user_1', sid: 'sess_webhook' });
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  const data = { id: 'sess_webhook', user_id: 'user_1', status: 'ended' };
  const { headers, body } = await sim.admin('POST', '/webhook', {
    type: 'session.ended',
    id: 'sess_webhook',
    data,
    secret: SECRET,
  });
  process.kill(pid, 'SIGSTOP');
  t.after(() => process.kill(pid, 'SIGCONT'));
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const began = performance.now();
  const { outcome } = await clerk.webhooks.handle({ headers, body });
  const took = performance.now() - began;
  await new Promise((resolve) => setTimeout(resolve, 20));
  clearInterval(timer);
  assert.equal(outcome, 'unavailable');
  assert.ok(took > 150 && longest < took / 2, `it took ${took} ms, the event loop was blocked for ${longest} ms`);
  assert.equal((await clerk.authenticate(request)).reason, 'session-revoked');
});

test('stats() has the counters of the shared cache', async (t) => {
  await sim.user('user_ada');
  const [one, other] = [1, 2].map(() => new ClerkClient({ ...settings(), userMode: 'profile' }));
  t.after(() => Promise.all([one.close(), other.close()]));
  other.startPoller();
  const request = await sim.bearer({ user: 'user_ada' });
  for (const clerk of [one, other]) assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  const counters = { state: 'available', hits: 0, misses: 1, errors: 0, rejected: 0, revocationLagMs: -1 };
  assert.deepEqual(one.stats().sharedCache, counters);
  assert.equal(other.stats().sharedCache.hits, 1);
  // Again, because the poller may have begun to read after the first.
  for (let tries = 0; tries < 100 && other.stats().sharedCache.revocationLagMs < 0; tries++) {
    one.revokeSession('sess_1');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(other.stats().sharedCache.revocationLagMs >= 0);
});

test('neither the poller nor its end blocks the event loop', async () => {
  const clerk = new ClerkClient(settings());
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  clerk.startPoller();
  await new Promise((resolve) => setTimeout(resolve, 600));
  const began = performance.now();
  await clerk.close();
  assert.ok(performance.now() - began < 150, `close() took ${performance.now() - began} ms`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  clearInterval(timer);
  assert.ok(longest < 200, `the event loop was blocked for ${longest} ms`);
});

test('without a shared cache startPoller() throws', async () => {
  const clerk = new ClerkClient(sim.settings());
  assert.equal(clerk.stats().sharedCache.state, 'off');
  assert.throws(
    () => clerk.startPoller(),
    (error) => error instanceof ClerkError && error.code === 'CLERK_CONFIG',
  );
  await clerk.close();
  assert.throws(
    () => clerk.startPoller(),
    (error) => error.code === 'CLERK_CLOSED',
  );
});
