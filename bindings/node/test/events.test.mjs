// Events: each is emitted once, contains no token, and a failing listener does not affect the request.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { beforeEach, test } from 'node:test';
import native from '../lib/native.js';
import { bareClient } from './support/addon.mjs';
import { run } from './support/run.mjs';
import { ADA, startSim } from './support/sim.mjs';
import { UserTable } from './support/user-table.mjs';

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
  const events = [];
  for (const name of NAMES) {
    clerk.events.on(name, (event) => {
      assert.equal(event.type, name);
      events.push(event);
    });
  }
  return events;
}

test('events of a first, a cached and a rejected request', async () => {
  const clerk = sim.client({ users: new UserTable() });
  const events = listen(clerk);
  const token = await sim.token({ user: 'user_1' });
  const request = { authorization: `Bearer ${token}` };
  await clerk.authenticate(request);
  assert.deepEqual(
    events.map((event) => event.type),
    ['cacheMiss', 'jwksRefreshed', 'userCreated', 'authSuccess'],
  );
  const tokenHash = `clerk:auth:${createHash('sha256').update(token).digest('hex')}`;
  assert.deepEqual(events[3], {
    type: 'authSuccess',
    userKey: '1',
    clerkId: 'user_1',
    tokenHash,
    reason: null,
    source: 'verified',
  });
  assert.deepEqual(events[2], {
    type: 'userCreated',
    userKey: '1',
    clerkId: 'user_1',
    tokenHash: null,
    reason: null,
    source: null,
  });
  events.length = 0;
  clerk.authenticateCached(request);
  assert.deepEqual(events, [
    { type: 'authSuccess', userKey: '1', clerkId: 'user_1', tokenHash, reason: null, source: 'cache' },
  ]);
  events.length = 0;
  await clerk.authenticate({ authorization: 'Bearer x' });
  await clerk.authenticate({});
  assert.deepEqual(
    events.map((event) => [event.type, event.reason]),
    [
      ['cacheMiss', null],
      ['authFailed', 'token-invalid'],
    ],
  );
  assert.ok(!JSON.stringify(events).includes(token));
});

test('429 from Clerk emits rateLimited and staleUserServed', async () => {
  const now = Date.now();
  const clerk = sim.client({ userMode: 'profile', userTtlS: 10, timeoutMs: 400, clock: { nowMs: now } });
  const events = listen(clerk);
  await clerk.authenticate(await sim.bearer({ user: 'user_1', exp_in: 600 }));
  await sim.faults({ path: '/users/*', status: 429, headers: { 'Retry-After': '3' } });
  clerk.setTime(now + 11_000);
  events.length = 0;
  const auth = await clerk.authenticate(await sim.bearer({ user: 'user_1', exp_in: 600 }));
  assert.equal(auth.status, 'signed-in');
  const kinds = events.map((event) => event.type);
  assert.ok(kinds.includes('rateLimited') && kinds.includes('staleUserServed'), kinds.join());
  assert.ok(events.find((event) => event.type === 'rateLimited').retryAfterMs > 0);
});

test('rejected opaque token emits cacheMiss', async () => {
  const clerk = sim.client({ acceptsToken: 'any' });
  const events = listen(clerk);
  assert.equal((await clerk.authenticate({ authorization: 'Bearer ak_unknown' })).status, 'signed-out');
  assert.deepEqual(
    events.map((event) => event.type),
    ['cacheMiss', 'authFailed'],
  );
});

test('once() and off() end the delivery of events', async () => {
  const clerk = sim.client();
  const request = await sim.bearer();
  await clerk.authenticate(request);
  let events = 0;
  clerk.events.once('authSuccess', () => events++);
  clerk.authenticateCached(request);
  clerk.authenticateCached(request);
  assert.equal(events, 1);
  assert.equal(clerk.events.hasListeners, false);
  const listener = () => events++;
  clerk.events.on('authSuccess', listener);
  clerk.events.off('authSuccess', listener);
  clerk.authenticateCached(request);
  assert.equal(events, 1);
});

test('listener may call its client', async () => {
  const clerk = sim.client();
  const request = await sim.bearer();
  const seen = [];
  clerk.events.once('cacheMiss', () => seen.push(clerk.authenticate({})));
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  assert.equal((await seen[0]).status, 'no-credentials');
});

test('failing listener causes a warning and does not affect the request', async () => {
  const { code, output } = await run('throwing-listener.mjs', JSON.stringify(sim.settings()), await sim.token());
  // Sorted: warnings are emitted in a later turn, before or after the result.
  assert.deepEqual(
    output
      .trim()
      .split('\n')
      .filter((line) => !line.includes('ClerkWarning'))
      .sort(),
    [
      'signed-in',
      'still running',
      'warning: Warning: { any: 1 }',
      'warning: Error: asynchronous listener failed',
      'warning: Error: listener failed',
    ].sort(),
  );
  assert.equal(code, 0);
});

test('log: warnings about settings, without secrets', async () => {
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

test('300 concurrent requests emit 300 events', async () => {
  const clerk = sim.client();
  let events = 0;
  clerk.events.on('authFailed', () => events++);
  await Promise.all(Array.from({ length: 300 }, (_, i) => clerk.authenticate({ authorization: `Bearer ${i}.a.b` })));
  assert.equal(events, 300);
});

test('event queue drops events beyond its limit', () => {
  const client = bareClient();
  client.setEventMask(1 << native.events.indexOf('auth_failed'));
  for (let i = 0; i < 5000; i++)
    client.authenticateCached('Bearer', undefined, undefined, undefined, undefined, undefined);
  let events = 0;
  client.takeEvents(() => events++);
  assert.equal(events, 4096);
  client.takeEvents(() => events++);
  assert.equal(events, 4096);
  client.close();
});

test('removeAllListeners() keeps later listeners working', async () => {
  const clerk = sim.client();
  const request = await sim.bearer();
  let events = 0;
  const listener = () => events++;
  clerk.events.on('authSuccess', listener);
  await clerk.authenticate(request);
  assert.equal(events, 1);
  for (const names of [[], ['authSuccess'], ['newListener'], ['removeListener'], []]) {
    clerk.events.removeAllListeners(...names);
    clerk.events.removeAllListeners('authSuccess');
    assert.equal(clerk.events.hasListeners, false);
    clerk.events.on('authSuccess', listener);
    events = 0;
    clerk.authenticateCached(request);
    assert.equal(events, 1, names.join());
    clerk.events.off('authSuccess', listener);
    assert.equal(clerk.events.hasListeners, false);
  }
});
