// The contract of the user store: it finds, creates and updates; it throws, is slow, reports conflicts, calls back.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, test } from 'node:test';
import { ClerkError, ConflictError } from 'clerk-auth';
import { ADA, startSim } from './support/sim.mjs';
import { Table } from './support/table.mjs';

const sim = await startSim();
let request;
beforeEach(async () => {
  await sim.reset();
  await sim.user('user_1', ADA);
  request = await sim.bearer({ user: 'user_1' });
});

test('a new user gets a row, and the second time nothing is written', async () => {
  const users = new Table();
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  const first = await clerk.authenticate(request);
  assert.equal(first.status, 'signed-in');
  assert.equal(first.source, 'verified');
  assert.equal(users.said(), 'findByClerkId findByEmail usernameTaken create');
  assert.equal(first.localUser.key, '1');
  assert.equal(first.localUser.row, users.rows[0]);
  const { key, clerkId, email, username, firstName, lastName, isActive, bannedByClerk } = users.rows[0];
  assert.deepEqual(
    { key, clerkId, email, username, firstName, lastName, isActive, bannedByClerk },
    {
      key: 1,
      clerkId: 'user_1',
      email: 'ada@example.com',
      username: 'ada',
      firstName: 'Ada',
      lastName: 'Lovelace',
      isActive: true,
      bannedByClerk: false,
    },
  );
  const second = await clerk.authenticate(request);
  assert.equal(second.source, 'cache');
  assert.equal(users.said(), 'findByKey');
  assert.equal(second.localUser.row, users.rows[0]);
  assert.equal(await sim.count('/users/{id}'), 1);
});

test('for `rowCheckTtlS`, 5 unless set, memory answers alone', async () => {
  const users = new Table();
  const clerk = sim.client({ users, clock: { nowMs: Date.now() } });
  await clerk.authenticate(request);
  users.said();
  const cached = clerk.authenticateCached(request);
  assert.equal(cached.status, 'signed-in');
  assert.deepEqual(cached.localUser, { key: '1', row: null });
  assert.equal((await clerk.authenticate(request)).source, 'cache');
  assert.equal(users.said(), '');
  clerk.setTime(Date.now() + 6000);
  assert.equal(clerk.authenticateCached(request), undefined);
  assert.equal((await clerk.authenticate(request)).source, 'cache');
  assert.equal(users.said(), 'findByKey');
});

test("a row that is nobody's is linked by its verified address, and brought up to date", async () => {
  const users = new Table();
  users.add({ clerkId: null, email: 'ADA@example.com', username: 'boss', firstName: 'A.' });
  const clerk = sim.client({ users });
  const auth = await clerk.authenticate(request);
  assert.equal(users.said(), 'findByClerkId findByEmail usernameTaken update');
  assert.equal(auth.localUser.key, '1');
  assert.equal(users.rows.length, 1);
  assert.equal(users.rows[0].clerkId, 'user_1');
  assert.equal(users.rows[0].username, 'ada');
  assert.equal(auth.localUser.row, users.rows[0]);
});

test('whom the table or Clerk keeps out does not come in', async () => {
  const users = new Table();
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  await clerk.authenticate(request);
  users.rows[0].isActive = false;
  const out = await clerk.authenticate(request);
  assert.equal(out.status, 'signed-out');
  assert.equal(out.reason, 'user-inactive');
  assert.equal(out.category, 'forbidden');
  assert.equal(out.httpStatus, 403);
  assert.equal(out.localUser, null);
  await sim.user('user_2', { banned: true });
  const banned = await clerk.authenticate(await sim.bearer({ user: 'user_2' }));
  assert.equal(banned.reason, 'user-inactive');
  assert.equal(users.of('user_2').bannedByClerk, true);
});

test('a row that is gone is fetched and made anew', async () => {
  const users = new Table();
  const clerk = sim.client({ users, rowCheckTtlS: 0, userTtlS: 0 });
  await clerk.authenticate(request);
  users.rows.length = 0;
  users.said();
  const auth = await clerk.authenticate(request);
  assert.equal(auth.source, 'verified');
  assert.equal(users.said(), 'findByKey findByClerkId findByEmail usernameTaken create');
  assert.equal(auth.localUser.key, '2');
  assert.equal(await sim.count('/users/{id}'), 2);
});

test('a row that is gone during an outage signs nobody in', async () => {
  const users = new Table();
  const clerk = sim.client({ users, rowCheckTtlS: 0, userTtlS: 0, userStaleIfErrorS: 0, timeoutMs: 300 });
  await clerk.authenticate(request);
  users.rows.length = 0;
  await sim.down(true);
  const auth = await clerk.authenticate(request);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.reason, 'server-error');
});

for (const method of ['findByClerkId', 'findByEmail', 'usernameTaken', 'create']) {
  test(`${method} throws: unavailable, with the error as its cause, nothing remembered`, async () => {
    const users = new Table();
    const clerk = sim.client({ users });
    const thrown = new Error('disk full');
    users.before = (name) => {
      if (name === method) throw thrown;
    };
    const auth = await clerk.authenticate(request);
    assert.equal(auth.status, 'unavailable');
    assert.equal(auth.isAuthenticated, false);
    assert.equal(auth.reason, 'store-error');
    assert.equal(auth.httpStatus, 503);
    assert.ok(auth.error instanceof ClerkError);
    assert.equal(auth.error.code, 'CLERK_UNAVAILABLE');
    assert.equal(auth.error.cause, thrown);
    assert.equal(auth.localUser, null);
    assert.equal(clerk.authenticateCached(request), undefined);
    users.before = () => {};
    assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  });
}

test('what is thrown need be no Error, and a method need not be asynchronous', async () => {
  const users = new Table();
  users.findByClerkId = () => {
    throw 'as it comes';
  };
  const auth = await sim.client({ users }).authenticate(request);
  assert.equal(auth.reason, 'store-error');
  assert.equal(auth.error.cause, 'as it comes');
});

test('findByKey throws: a remembered answer is not given', async () => {
  const users = new Table();
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  await clerk.authenticate(request);
  users.before = () => {
    throw new Error('connection lost');
  };
  const auth = await clerk.authenticate(request);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.error.cause.message, 'connection lost');
});

test('a conflict: the row is looked for again', async () => {
  const users = new Table();
  const clerk = sim.client({ users });
  let rival = true;
  users.before = (name, columns) => {
    if (name !== 'create' || !rival) return;
    rival = false;
    users.add({ ...columns });
  };
  const auth = await clerk.authenticate(request);
  assert.equal(auth.status, 'signed-in');
  assert.equal(auth.localUser.key, '1');
  assert.equal(users.rows.length, 1);
  assert.equal(users.said(), 'findByClerkId findByEmail usernameTaken create findByClerkId');
});

test('conflicts without end are refused', async () => {
  const users = new Table();
  users.before = (name) => {
    if (name === 'create') throw new ConflictError();
  };
  const auth = await sim.client({ users }).authenticate(request);
  assert.equal(auth.isAuthenticated, false);
  assert.equal(auth.reason, 'link-conflict');
});

test('a conflict where there can be none is a failure', async () => {
  const users = new Table();
  users.before = () => {
    throw new ConflictError();
  };
  const auth = await sim.client({ users }).authenticate(request);
  assert.equal(auth.reason, 'store-error');
  assert.ok(auth.error.cause instanceof ConflictError);
});

test('first requests of one new user, all at once, make one row', async () => {
  const users = new Table();
  const clerk = sim.client({ users });
  const auths = await Promise.all(Array.from({ length: 50 }, () => clerk.authenticate(request)));
  assert.deepEqual(new Set(auths.map((auth) => `${auth.status} ${auth.localUser.key}`)), new Set(['signed-in 1']));
  assert.equal(users.rows.length, 1);
  assert.equal(await sim.count('/users/{id}'), 1);
});

test('a slow table holds up nobody else, and no thread', async () => {
  const users = new Table();
  const clerk = sim.client({ users });
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  users.before = () => gate;
  const requests = await Promise.all(Array.from({ length: 16 }, (_, i) => sim.bearer({ user: `user_${i}` })));
  const waiting = requests.map((each) => clerk.authenticate(each));
  // More are waiting than the pool has threads: another client's call goes through all the same.
  const other = await sim.client().authenticate(await sim.bearer({ user: 'user_9' }));
  assert.equal(other.status, 'signed-in');
  release();
  for (const auth of await Promise.all(waiting))
    assert.equal(auth.isAuthenticated || auth.reason === 'user-not-found', true);
});

test('a table that does not answer in time: unavailable', async () => {
  const users = new Table();
  const clerk = sim.client({ users, storeTimeoutMs: 100 });
  users.before = () => sleep(3000, undefined, { ref: false });
  const began = performance.now();
  const auth = await clerk.authenticate(request);
  assert.ok(performance.now() - began < 1000);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.error.cause.code, 'CLERK_STORE_TIMEOUT');
  // The deadline is for all steps of a request together.
  users.before = () => sleep(40);
  assert.equal((await clerk.authenticate(request)).error.cause.code, 'CLERK_STORE_TIMEOUT');
  users.before = () => {};
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
});

test('from inside its own store a client answers from memory and refuses to wait', async () => {
  const users = new Table();
  const clerk = sim.client({ users });
  const other = sim.client();
  const seen = {};
  users.before = async (name) => {
    if (name !== 'findByClerkId') return;
    seen.cached = clerk.authenticateCached({});
    seen.blocked = await clerk.authenticate(request).catch((error) => error);
    seen.verify = await clerk.verifyToken('x').catch((error) => error);
    seen.webhook = await clerk.webhooks.handle({ headers: {}, body: '' }).catch((error) => error);
    seen.close = await clerk.close().catch((error) => error);
    seen.other = await other.authenticate(request);
  };
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  assert.equal(seen.cached.status, 'no-credentials');
  for (const refused of [seen.blocked, seen.verify, seen.webhook, seen.close])
    assert.equal(refused.code, 'CLERK_REENTRANT');
  assert.equal(seen.other.status, 'signed-in');
  // What the store has left behind is refused nothing, once the store is done.
  let over;
  const done = new Promise((resolve) => (over = resolve));
  let later;
  users.before = (name) => {
    if (name === 'findByClerkId') later = done.then(() => clerk.verifyToken('x'));
  };
  clerk.invalidateAll();
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  over();
  assert.equal((await later).reason, 'token-invalid');
});

test('rows of the wrong shape sign nobody in', async () => {
  const good = { key: 1, clerkId: 'user_1', isActive: true, bannedByClerk: false, username: 'ada' };
  const cases = [
    [5, /findByClerkId\(\) must return a row or null/],
    [{ ...good, key: undefined }, /row\.key must be/],
    [{ ...good, key: '' }, /row\.key must be/],
    [{ ...good, key: 1.5 }, /row\.key must be/],
    [{ ...good, email: 5 }, /row\.email must be a string or null/],
    [{ ...good, isActive: undefined }, /row\.isActive must be a boolean/],
    [{ ...good, isActive: 'f' }, /row\.isActive must be a boolean/],
    [{ ...good, lastActiveAtMs: new Date() }, /row\.lastActiveAtMs must be/],
    [[good, good], /row\.key must be/],
  ];
  for (const [row, message] of cases) {
    const users = new Table();
    users.findByClerkId = async () => row;
    const auth = await sim.client({ users }).authenticate(request);
    assert.equal(auth.status, 'unavailable');
    assert.equal(auth.reason, 'store-error');
    assert.match(auth.error.cause.message, message);
  }
  const users = new Table();
  users.findByClerkId = async () => ({ ...good, clerkId: 'user_other' });
  assert.equal((await sim.client({ users }).authenticate(request)).reason, 'link-conflict');
  users.findByClerkId = async () => ({ ...good, email: 'a\0b' });
  assert.equal((await sim.client({ users }).authenticate(request)).reason, 'store-error');
  users.findByClerkId = async () => null;
  users.usernameTaken = async () => 'no';
  assert.equal((await sim.client({ users }).authenticate(request)).reason, 'store-error');
  users.usernameTaken = async () => false;
  users.create = async () => undefined;
  assert.equal((await sim.client({ users }).authenticate(request)).reason, 'store-error');
});

test('a table with few and short columns', async () => {
  const users = Object.assign(new Table(), {
    columns: ['clerkId', 'username', 'firstName'],
    columnLengths: { username: 8, firstName: 2 },
  });
  await sim.user('user_1', { ...ADA, username: 'augusta-ada-king' });
  const auth = await sim.client({ users }).authenticate(request);
  assert.equal(auth.status, 'signed-in');
  assert.equal(users.said(), 'findByClerkId usernameTaken create');
  const { key, isActive, bannedByClerk, ...columns } = users.rows[0];
  assert.deepEqual(columns, { clerkId: 'user_1', username: 'augusta-', firstName: 'Ad' });
  assert.throws(() => sim.client({ users: Object.assign(new Table(), { columns: ['nonsense'] }) }), /columns must be/);
  assert.throws(() => sim.client({ users: Object.assign(new Table(), { columns: ['username'] }) }), /clerkId/);
  assert.throws(
    () => sim.client({ users: Object.assign(new Table(), { columnLengths: { username: 3 } }) }),
    /columnLengths/,
  );
});

test('keys of any kind, and a store that returns only the key', async () => {
  for (const key of ['6f1c', 7, 9007199254740993n]) {
    const users = new Table();
    users.create = async (columns) => {
      users.rows.push({ ...columns, key });
      return key;
    };
    const clerk = sim.client({ users, rowCheckTtlS: 0 });
    const auth = await clerk.authenticate(request);
    assert.deepEqual(auth.localUser, { key: String(key), row: null });
    assert.equal((await clerk.authenticate(request)).localUser.row, users.rows[0]);
  }
});

test('rows by e-mail address: what is empty does not count, and two are ambiguous', async () => {
  const row = (key) => ({ key, clerkId: null, email: 'ada@example.com', isActive: true, bannedByClerk: false });
  const seen = [];
  for (const rows of [[null, undefined, row(7)], [null, row(7), row(8)], [row(7), row(8)]]) {
    const users = new Table();
    users.findByEmail = async () => rows;
    users.update = async (key, columns) => ({ ...row(Number(key)), ...columns });
    const clerk = sim.client({ users });
    const conflicts = [];
    clerk.events.on('linkConflict', (event) => conflicts.push(event.type));
    const auth = await clerk.authenticate(request);
    seen.push([auth.status, auth.localUser.key, conflicts.length]);
  }
  assert.deepEqual(seen[0], ['signed-in', '7', 0]);
  assert.deepEqual(seen[1], seen[2]);
  assert.notEqual(seen[1][1], '7');
});

test('the row is not known after a write that shows none', async () => {
  const users = new Table();
  users.add({ clerkId: 'user_1', username: 'old' });
  const update = users.update;
  users.update = async (...change) => void (await update.apply(users, change));
  assert.deepEqual((await sim.client({ users }).authenticate(request)).localUser, { key: '1', row: null });
});
