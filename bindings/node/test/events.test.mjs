// What clients are told of: once each, without tokens, and never at the cost of a request.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { beforeEach, test } from 'node:test';
import native from '../lib/native.js';
import { bareClient } from './support/addon.mjs';
import { run } from './support/run.mjs';
import { ADA, startSim } from './support/sim.mjs';
import { Table } from './support/table.mjs';

const sim = await startSim();
beforeEach(async () => {
  await sim.reset();
  await sim.user('user_1', ADA);
});

const NAMES = [
  'authSuccess',
  'authFailed',
  'cacheMiss',
  'userCreated',
  'userUpdated',
  'userLinked',
  'linkConflict',
  'jwksRefreshed',
  'rateLimited',
  'staleUserServed',
  'userDeleted',
  'secretKeyRejected',
];

function listen(clerk) {
  const told = [];
  for (const name of NAMES) {
    clerk.events.on(name, (event) => {
      assert.equal(event.type, name);
      told.push(event);
    });
  }
  return told;
}

test('from the first request to the second', async () => {
  const clerk = sim.client({ users: new Table() });
  const told = listen(clerk);
  const token = await sim.token({ user: 'user_1' });
  const request = { authorization: `Bearer ${token}` };
  await clerk.authenticate(request);
  assert.deepEqual(
    told.map((event) => event.type),
    ['cacheMiss', 'jwksRefreshed', 'userCreated', 'authSuccess'],
  );
  const tokenHash = `clerk:auth:${createHash('sha256').update(token).digest('hex')}`;
  assert.deepEqual(told[3], {
    type: 'authSuccess',
    userKey: '1',
    clerkId: 'user_1',
    tokenHash,
    reason: null,
    source: 'verified',
  });
  assert.deepEqual(told[2], {
    type: 'userCreated',
    userKey: '1',
    clerkId: 'user_1',
    tokenHash: null,
    reason: null,
    source: null,
  });
  told.length = 0;
  clerk.authenticateCached(request);
  assert.deepEqual(told, [
    { type: 'authSuccess', userKey: '1', clerkId: 'user_1', tokenHash, reason: null, source: 'cache' },
  ]);
  told.length = 0;
  await clerk.authenticate({ authorization: 'Bearer x' });
  await clerk.authenticate({});
  assert.deepEqual(
    told.map((event) => [event.type, event.reason]),
    [
      ['cacheMiss', null],
      ['authFailed', 'token-invalid'],
    ],
  );
  assert.ok(!JSON.stringify(told).includes(token));
});

test('Clerk asks for patience, Clerk is out of reach', async () => {
  const now = Date.now();
  const clerk = sim.client({ userMode: 'profile', userTtlS: 10, timeoutMs: 400, clock: { nowMs: now } });
  const told = listen(clerk);
  await clerk.authenticate(await sim.bearer({ user: 'user_1', exp_in: 600 }));
  await sim.faults({ path: '/users/*', status: 429, headers: { 'Retry-After': '3' } });
  clerk.setTime(now + 11_000);
  told.length = 0;
  const auth = await clerk.authenticate(await sim.bearer({ user: 'user_1', exp_in: 600 }));
  assert.equal(auth.status, 'signed-in');
  const kinds = told.map((event) => event.type);
  assert.ok(kinds.includes('rateLimited') && kinds.includes('staleUserServed'), kinds.join());
  assert.ok(told.find((event) => event.type === 'rateLimited').retryAfterMs > 0);
});

test('a refused opaque token is a miss, too', async () => {
  const clerk = sim.client({ acceptsToken: 'any' });
  const told = listen(clerk);
  assert.equal((await clerk.authenticate({ authorization: 'Bearer ak_unheard_of' })).status, 'signed-out');
  assert.deepEqual(
    told.map((event) => event.type),
    ['cacheMiss', 'authFailed'],
  );
});

test('whoever does not listen is told nothing, and once is once', async () => {
  const clerk = sim.client();
  const request = await sim.bearer();
  await clerk.authenticate(request);
  let told = 0;
  clerk.events.once('authSuccess', () => told++);
  clerk.authenticateCached(request);
  clerk.authenticateCached(request);
  assert.equal(told, 1);
  assert.equal(clerk.events.isHeard, false);
  const listener = () => told++;
  clerk.events.on('authSuccess', listener);
  clerk.events.off('authSuccess', listener);
  clerk.authenticateCached(request);
  assert.equal(told, 1);
});

test('a listener may call its client', async () => {
  const clerk = sim.client();
  const request = await sim.bearer();
  const seen = [];
  clerk.events.once('cacheMiss', () => seen.push(clerk.authenticate({})));
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  assert.equal((await seen[0]).status, 'no-credentials');
});

test('a listener that throws costs no request', async () => {
  const { code, output } = await run('throwing-listener.mjs', JSON.stringify(sim.settings()), await sim.token());
  // In whatever order: warnings are told in a turn of their own, which may come before the answer.
  assert.deepEqual(output.trim().split('\n').sort(), [
    'signed-in',
    'still here',
    'warning: Warning: { any: 1 }',
    'warning: Error: a bad asynchronous listener',
    'warning: Error: a bad listener',
  ].sort());
  assert.equal(code, 0);
});

test('the log: what the settings give cause to say, and no secrets', async () => {
  const clerk = sim.client({ authorizedParties: ['app.example.com/'], timeoutMs: 200 });
  const lines = [];
  clerk.events.on('log', (line) => lines.push(line));
  await sim.down(true);
  const request = await sim.bearer();
  await clerk.authenticate(request);
  assert.ok(lines.length > 0);
  for (const { level, message } of lines) {
    assert.match(level, /^(error|warn|info)$/);
    assert.ok(!message.includes('sk_test_sim') && !message.includes(request.authorization.slice(7)));
  }
  assert.ok(lines.some(({ level, message }) => level === 'warn' && message.includes('authorized_parties')));
});

test('each of hundreds at once is told of once', async () => {
  const clerk = sim.client();
  let told = 0;
  clerk.events.on('authFailed', () => told++);
  await Promise.all(Array.from({ length: 300 }, (_, i) => clerk.authenticate({ authorization: `Bearer ${i}.a.b` })));
  assert.equal(told, 300);
});

test('events that nobody fetches are dropped, not piled up', () => {
  const client = bareClient();
  client.listen(1 << native.events.indexOf('auth_failed'));
  for (let i = 0; i < 5000; i++) client.cached('Bearer', undefined, undefined, undefined, undefined, undefined);
  let told = 0;
  client.takeNotices(() => told++);
  assert.equal(told, 4096);
  client.takeNotices(() => told++);
  assert.equal(told, 4096);
  client.close();
});

test('removeAllListeners() does not deafen the client', async () => {
  const clerk = sim.client();
  const request = await sim.bearer();
  let told = 0;
  const listener = () => told++;
  clerk.events.on('authSuccess', listener);
  await clerk.authenticate(request);
  assert.equal(told, 1);
  for (const names of [[], ['authSuccess'], ['newListener'], ['removeListener'], []]) {
    clerk.events.removeAllListeners(...names);
    clerk.events.removeAllListeners('authSuccess');
    assert.equal(clerk.events.isHeard, false);
    clerk.events.on('authSuccess', listener);
    told = 0;
    clerk.authenticateCached(request);
    assert.equal(told, 1, names.join());
    clerk.events.off('authSuccess', listener);
    assert.equal(clerk.events.isHeard, false);
  }
});
