// The user store: queries and writes, exceptions, timeouts, conflicts, reentrant calls.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, test } from 'node:test';
import { ClerkError, ConflictError } from 'clerk-auth';
import { ADA, startSim } from './support/sim.mjs';
import { UserTable } from './support/user-table.mjs';

const WEBHOOK_SECRET = 'whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=';
const sim = await startSim();
let request;
beforeEach(async () => {
  await sim.reset();
  await sim.user('user_1', ADA);
  request = await sim.bearer({ user: 'user_1' });
});

test('new user gets a row, the second request writes nothing', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  const first = await clerk.authenticate(request);
  assert.equal(first.status, 'signed-in');
  assert.equal(first.source, 'verified');
  assert.equal(users.takeLog(), 'findByClerkId findByEmail usernameTaken create');
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
  assert.equal(users.takeLog(), 'findByKey');
  assert.equal(second.localUser.row, users.rows[0]);
  assert.equal(await sim.count('/users/{id}'), 1);
});

test('update gets its condition, and a row that is newer is not overwritten', async () => {
  const names = ['clerkId', 'email', 'username', 'firstName', 'isActive', 'bannedByClerk', 'clerkUpdatedAtMs'];
  const users = Object.assign(new UserTable(), { columns: names });
  const conditions = [];
  users.before = (name, key, columns, condition) => {
    if (name === 'update') conditions.push(condition);
  };
  users.add({ email: 'ADA@example.com', username: 'boss' });
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  assert.equal((await clerk.authenticate(request)).localUser.key, '1');
  assert.equal(users.rows[0].clerkId, 'user_1');
  assert.equal(typeof users.rows[0].clerkUpdatedAtMs, 'number');
  const maxVersion = users.rows[0].clerkUpdatedAtMs;
  assert.deepEqual(conditions, [{ onlyIfUnlinked: true, maxVersion, onlyIfActive: false, onlyIfBanned: false }]);
  // Another process has written the row from a newer user.
  Object.assign(users.rows[0], { firstName: 'Newer', clerkUpdatedAtMs: 1900000000000 });
  clerk.invalidateUser('user_1');
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  assert.equal(users.rows[0].firstName, 'Newer');
  assert.equal(conditions.length, 1);
});

test('a table without clerkUpdatedAtMs is updated without a version', async () => {
  const users = new UserTable();
  const conditions = [];
  users.before = (name, key, columns, condition) => {
    if (name === 'update') conditions.push(condition);
  };
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  await clerk.authenticate(request);
  assert.equal('clerkUpdatedAtMs' in users.rows[0], false);
  users.rows[0].firstName = 'Local';
  clerk.invalidateUser('user_1');
  await clerk.authenticate(request);
  const expected = { onlyIfUnlinked: false, maxVersion: null, onlyIfActive: false, onlyIfBanned: false };
  assert.deepEqual(conditions, [expected]);
});

test('within rowCheckTtlS, 5 by default, the store is not queried', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, clock: { nowMs: Date.now() } });
  await clerk.authenticate(request);
  users.takeLog();
  const cached = clerk.authenticateCached(request);
  assert.equal(cached.status, 'signed-in');
  assert.deepEqual(cached.localUser, { key: '1', row: users.rows[0] });
  assert.equal((await clerk.authenticate(request)).source, 'cache');
  assert.equal(users.takeLog(), '');
  clerk.setTime(Date.now() + 6000);
  assert.equal(clerk.authenticateCached(request), undefined);
  assert.equal((await clerk.authenticate(request)).source, 'cache');
  assert.equal(users.takeLog(), 'findByKey');
});

test('unlinked row is linked by verified email and updated', async () => {
  const users = new UserTable();
  users.add({ clerkId: null, email: 'ADA@example.com', username: 'boss', firstName: 'A.' });
  const clerk = sim.client({ users });
  const auth = await clerk.authenticate(request);
  assert.equal(users.takeLog(), 'findByClerkId findByEmail usernameTaken update');
  assert.equal(auth.localUser.key, '1');
  assert.equal(users.rows.length, 1);
  assert.equal(users.rows[0].clerkId, 'user_1');
  assert.equal(users.rows[0].username, 'ada');
  assert.equal(auth.localUser.row, users.rows[0]);
});

test('inactive row and banned user are rejected', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  await clerk.authenticate(request);
  users.rows[0].isActive = false;
  const inactive = await clerk.authenticate(request);
  assert.equal(inactive.status, 'signed-out');
  assert.equal(inactive.reason, 'user-inactive');
  assert.equal(inactive.category, 'forbidden');
  assert.equal(inactive.httpStatus, 403);
  assert.equal(inactive.localUser, null);
  await sim.user('user_2', { banned: true });
  const banned = await clerk.authenticate(await sim.bearer({ user: 'user_2' }));
  assert.equal(banned.reason, 'user-inactive');
  assert.equal(users.get('user_2').bannedByClerk, true);
});

test('missing row is fetched and created again', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, rowCheckTtlS: 0, userTtlS: 0 });
  await clerk.authenticate(request);
  users.rows.length = 0;
  users.takeLog();
  const auth = await clerk.authenticate(request);
  assert.equal(auth.source, 'verified');
  assert.equal(users.takeLog(), 'findByKey findByClerkId findByEmail usernameTaken create');
  assert.equal(auth.localUser.key, '2');
  assert.equal(await sim.count('/users/{id}'), 2);
});

test('missing row during an outage is unavailable', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, rowCheckTtlS: 0, userTtlS: 0, userStaleIfErrorS: 0, timeoutMs: 300 });
  await clerk.authenticate(request);
  users.rows.length = 0;
  await sim.down(true);
  const auth = await clerk.authenticate(request);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.reason, 'server-error');
});

for (const method of ['findByClerkId', 'findByEmail', 'usernameTaken', 'create']) {
  test(`${method} throws: unavailable with the error as cause, not cached`, async () => {
    const users = new UserTable();
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

test('synchronous method throws a string: it is the cause', async () => {
  const users = new UserTable();
  users.findByClerkId = () => {
    throw 'a string';
  };
  const auth = await sim.client({ users }).authenticate(request);
  assert.equal(auth.reason, 'store-error');
  assert.equal(auth.error.cause, 'a string');
});

test('findByKey throws: the cached result is not returned', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  await clerk.authenticate(request);
  users.before = () => {
    throw new Error('connection lost');
  };
  const auth = await clerk.authenticate(request);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.error.cause.message, 'connection lost');
});

test('conflict on create: the row is queried again', async () => {
  const users = new UserTable();
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
  assert.equal(users.takeLog(), 'findByClerkId findByEmail usernameTaken create findByClerkId');
});

test('repeated conflicts are unavailable', async () => {
  const users = new UserTable();
  users.before = (name) => {
    if (name === 'create') throw new ConflictError();
  };
  const auth = await sim.client({ users }).authenticate(request);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.reason, 'store-error');
});

test('ConflictError from a query is a store error', async () => {
  const users = new UserTable();
  users.before = () => {
    throw new ConflictError();
  };
  const auth = await sim.client({ users }).authenticate(request);
  assert.equal(auth.reason, 'store-error');
  assert.ok(auth.error.cause instanceof ConflictError);
});

test('50 concurrent requests of a new user create one row', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users });
  const auths = await Promise.all(Array.from({ length: 50 }, () => clerk.authenticate(request)));
  assert.deepEqual(new Set(auths.map((auth) => `${auth.status} ${auth.localUser.key}`)), new Set(['signed-in 1']));
  assert.equal(users.rows.length, 1);
  assert.equal(await sim.count('/users/{id}'), 1);
});

test('slow store blocks no thread and no other client', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users });
  let release;
  const released = new Promise((resolve) => (release = resolve));
  users.before = () => released;
  const requests = await Promise.all(Array.from({ length: 16 }, (_, i) => sim.bearer({ user: `user_${i}` })));
  const waiting = requests.map((each) => clerk.authenticate(each));
  // A call of another client completes in the meantime.
  const other = await sim.client().authenticate(await sim.bearer({ user: 'user_9' }));
  assert.equal(other.status, 'signed-in');
  release();
  for (const auth of await Promise.all(waiting))
    assert.equal(auth.isAuthenticated || auth.reason === 'user-not-found', true);
});

test('storeTimeoutMs: a late store is unavailable', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, storeTimeoutMs: 100 });
  users.before = () => sleep(3000, undefined, { ref: false });
  const began = performance.now();
  const auth = await clerk.authenticate(request);
  assert.ok(performance.now() - began < 1000);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.error.cause.code, 'CLERK_STORE_TIMEOUT');
  // The deadline covers all queries of a request.
  users.before = () => sleep(40);
  assert.equal((await clerk.authenticate(request)).error.cause.code, 'CLERK_STORE_TIMEOUT');
  users.before = () => {};
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
});

test('inside a store method only cached calls of the same client work', async () => {
  const users = new UserTable();
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
  for (const error of [seen.blocked, seen.verify, seen.webhook, seen.close])
    assert.equal(error.code, 'CLERK_REENTRANT');
  assert.equal(seen.other.status, 'signed-in');
  // A promise started in a store method may call the client after the method returned.
  let finish;
  const done = new Promise((resolve) => (finish = resolve));
  let later;
  users.before = (name) => {
    if (name === 'findByClerkId') later = done.then(() => clerk.verifyToken('x'));
  };
  clerk.invalidateAll();
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  finish();
  assert.equal((await later).reason, 'token-invalid');
});

test('invalid row is a store error', async () => {
  const good = { key: 1, clerkId: 'user_1', isActive: true, bannedByClerk: false, username: 'ada' };
  const cases = [
    [5, /findByClerkId\(\) must return a row or null/],
    [{ ...good, key: undefined }, /row\.key must be/],
    [{ ...good, key: '' }, /row\.key must be/],
    [{ ...good, key: 1.5 }, /row\.key must be/],
    [{ ...good, email: 5 }, /row\.email must be a string or null/],
    [{ ...good, isActive: undefined }, /row\.isActive must be a boolean/],
    [{ ...good, isActive: 'f' }, /row\.isActive must be a boolean/],
    [{ ...good, lastActiveAtMs: new Date(NaN) }, /row\.lastActiveAtMs must be/],
    [[good, good], /row\.key must be/],
  ];
  for (const [row, message] of cases) {
    const users = new UserTable();
    users.findByClerkId = async () => row;
    const auth = await sim.client({ users }).authenticate(request);
    assert.equal(auth.status, 'unavailable');
    assert.equal(auth.reason, 'store-error');
    assert.match(auth.error.cause.message, message);
  }
  const users = new UserTable();
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

test('columns and columnLengths limit what is written', async () => {
  const users = Object.assign(new UserTable(), {
    columns: ['clerkId', 'username', 'firstName'],
    columnLengths: { username: 8, firstName: 2 },
  });
  await sim.user('user_1', { ...ADA, username: 'augusta-ada-king' });
  const auth = await sim.client({ users }).authenticate(request);
  assert.equal(auth.status, 'signed-in');
  assert.equal(users.takeLog(), 'findByClerkId usernameTaken create');
  const { key, isActive, bannedByClerk, ...columns } = users.rows[0];
  assert.deepEqual(columns, { clerkId: 'user_1', username: 'augusta-', firstName: 'Ad' });
  assert.throws(
    () => sim.client({ users: Object.assign(new UserTable(), { columns: ['nonsense'] }) }),
    /columns must be/,
  );
  assert.throws(() => sim.client({ users: Object.assign(new UserTable(), { columns: ['username'] }) }), /clerkId/);
  assert.throws(
    () => sim.client({ users: Object.assign(new UserTable(), { columnLengths: { username: 3 } }) }),
    /columnLengths/,
  );
});

test('string, number and bigint keys, and create() that returns the key', async () => {
  for (const key of ['6f1c', 7, 9007199254740993n]) {
    const users = new UserTable();
    users.create = async (columns) => {
      users.rows.push({ ...columns, key });
      return key;
    };
    const clerk = sim.client({ users, rowCheckTtlS: 0 });
    const auth = await clerk.authenticate(request);
    assert.deepEqual(auth.localUser, { key: String(key), row: users.rows[0] });
    assert.equal((await clerk.authenticate(request)).localUser.row, users.rows[0]);
  }
});

test('findByEmail: null rows are ignored, two rows are ambiguous', async () => {
  const row = (key) => ({ key, clerkId: null, email: 'ada@example.com', isActive: true, bannedByClerk: false });
  const seen = [];
  for (const rows of [
    [null, undefined, row(7)],
    [null, row(7), row(8)],
    [row(7), row(8)],
  ]) {
    const users = new UserTable();
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

test('row that the application deactivated blocks its address, however many others have it', async () => {
  const users = new UserTable();
  for (let i = 0; i < 17; i++) {
    users.add({ clerkId: `user_holder${i}`, username: `holder${i}`, email: 'ada@example.com', isActive: i < 16 });
  }
  const clerk = sim.client({ users });
  assert.equal((await clerk.authenticate(request)).reason, 'user-inactive');
  users.rows[16].bannedByClerk = true;
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
});

test('row that the table made inactive itself is rejected at once', async () => {
  const users = new UserTable();
  // New accounts await approval.
  users.create = async (columns) => users.add({ ...columns, isActive: false });
  const clerk = sim.client({ users, rowCheckTtlS: 0 });
  for (let i = 0; i < 2; i++) assert.equal((await clerk.authenticate(request)).reason, 'user-inactive');
  users.rows[0].isActive = true;
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  users.update = async (key, columns) => Object.assign(users.rows[0], columns, { isActive: false });
  users.rows[0].firstName = 'Local';
  clerk.invalidateUser('user_1');
  assert.equal((await clerk.authenticate(request)).reason, 'user-inactive');
});

test('row is read after update() that returns nothing, or a part of it', async () => {
  for (const returned of [undefined, { key: 1 }, { key: 1, clerkId: 'user_1', isActive: undefined }]) {
    const users = new UserTable();
    users.add({ clerkId: 'user_1', username: 'old' });
    const update = users.update;
    users.update = async (...change) => (await update.apply(users, change), returned);
    const { localUser } = await sim.client({ users }).authenticate(request);
    assert.equal(users.takeLog(), 'findByClerkId findByEmail usernameTaken update findByKey');
    assert.deepEqual([localUser.key, localUser.row], ['1', users.rows[0]]);
  }
});

test('localUser.row is there on every request, whichever way the result came about', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, clock: { nowMs: Date.now() } });
  const rows = [];
  for (const token of [request, request, await sim.bearer({ user: 'user_1' })]) {
    const auth = await clerk.authenticate(token);
    rows.push(auth.localUser.row, clerk.authenticateCached(token).localUser.row);
  }
  assert.deepEqual(rows, Array(6).fill(users.rows[0]));
  // After the row check, what it read.
  users.rows[0] = { ...users.rows[0], note: 'changed' };
  clerk.setTime(Date.now() + 6000);
  assert.equal((await clerk.authenticate(request)).localUser.row.note, 'changed');
  assert.equal(clerk.authenticateCached(request).localUser.row.note, 'changed');
  assert.equal(clerk.authenticateCached({}).localUser, null);
});

test('types that drivers return for BIGINT, BOOLEAN and times are accepted', async () => {
  const now = 1700000000123;
  for (const stored of [now, BigInt(now), String(now), new Date(now), null]) {
    for (const [yes, no] of [
      [true, false],
      [1, 0],
      [1n, 0n],
      ['1', '0'],
      [Buffer.from([1]), Buffer.from([0])],
      [true, null],
    ]) {
      const users = Object.assign(new UserTable(), {
        columns: ['clerkId', 'lastActiveAtMs', 'isActive', 'bannedByClerk', 'clerkUpdatedAtMs'],
      });
      users.add({
        clerkId: 'user_1',
        lastActiveAtMs: stored,
        clerkUpdatedAtMs: stored,
        isActive: yes,
        bannedByClerk: no,
      });
      users.update = async (key, columns) => {
        Object.assign(users.rows[0], columns, { clerkUpdatedAtMs: stored });
      };
      assert.equal((await sim.client({ users }).authenticate(request)).status, 'signed-in', String(stored));
      Object.assign(users.rows[0], { isActive: no });
      assert.equal((await sim.client({ users }).authenticate(request)).reason, 'user-inactive', String(no));
    }
  }
});

test('row that create() returns, or that findByKey finds after it, is checked at once', async () => {
  for (const wrong of [{ clerkUpdatedAtMs: 1.5 }, { lastActiveAtMs: 'soon' }, { isActive: 'f' }, { email: 5 }]) {
    for (const isRowReturned of [true, false]) {
      const users = Object.assign(new UserTable(), {
        columns: ['clerkId', 'email', 'lastActiveAtMs', 'isActive', 'bannedByClerk', 'clerkUpdatedAtMs'],
      });
      users.create = async (columns) => {
        const row = users.add({ ...columns, ...wrong });
        return isRowReturned ? row : row.key;
      };
      const auth = await sim.client({ users }).authenticate(request);
      assert.equal(auth.reason, 'store-error');
      assert.match(auth.error.cause.message, /users.create\(\): row\.\w+ must be/);
    }
  }
});

test('statement that the database aborted is repeated, within the deadline', async () => {
  const deadlocks = [
    { code: '40001' },
    { code: '40P01' },
    { errno: 1213 },
    { cause: { sqlState: '40001' } },
    { driverError: { code: 'ER_LOCK_DEADLOCK' } },
    { code: 'P2034' },
    { errno: 1020, sqlState: 'HY000' },
    { code: 'SQLITE_BUSY' },
    { code: 'ERR_SQLITE_ERROR', errcode: 5 },
  ];
  for (const properties of deadlocks) {
    const users = new UserTable();
    let left = 3;
    users.before = (name) => {
      if (name === 'create' && left-- > 0) throw Object.assign(new Error('deadlock'), properties);
    };
    assert.equal((await sim.client({ users }).authenticate(request)).status, 'signed-in');
    assert.equal(users.takeLog(), 'findByClerkId findByEmail usernameTaken create create create create');
  }
  const users = new UserTable();
  users.before = () => {
    throw Object.assign(new Error('deadlock'), { code: '40001' });
  };
  const started = Date.now();
  const auth = await sim.client({ users, storeTimeoutMs: 300 }).authenticate(request);
  assert.equal(auth.reason, 'store-error');
  assert.ok(Date.now() - started < 3000);
});

test('errors of drivers for a unique column are conflicts, also when wrapped', async () => {
  for (const properties of [
    { code: '23505' },
    { code: 'ER_DUP_ENTRY', errno: 1062 },
    { code: 'SQLITE_CONSTRAINT_UNIQUE' },
    { code: 'ERR_SQLITE_ERROR', errcode: 2067 },
    { code: 'P2002' },
    { code: 'P2010', meta: { code: '23505' } },
    { cause: { code: '23505' } },
    { driverError: { errno: 1062 } },
  ]) {
    const users = new UserTable();
    let left = 1;
    users.before = (name) => {
      if (name === 'create' && left-- > 0) throw Object.assign(new Error('duplicate'), properties);
    };
    assert.equal((await sim.client({ users }).authenticate(request)).status, 'signed-in', JSON.stringify(properties));
  }
});

test('check() that hangs times out, and the next request checks again', async () => {
  const users = new UserTable();
  let checks = 0;
  users.check = () => (++checks < 3 ? new Promise(() => {}) : undefined);
  const clerk = sim.client({ users, storeTimeoutMs: 50 });
  await assert.rejects(clerk.warmUp(), { code: 'CLERK_STORE_TIMEOUT' });
  assert.equal((await clerk.authenticate(request)).error.cause.code, 'CLERK_STORE_TIMEOUT');
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
});

test('table that check() rejects is not used, until check() succeeds once', async () => {
  const users = new UserTable();
  let checks = 0;
  users.check = async () => {
    if (++checks < 3) throw new Error('the table is latin1');
  };
  const clerk = sim.client({ users });
  await assert.rejects(clerk.warmUp(), { code: 'CLERK_UNAVAILABLE', message: /latin1/ });
  const auth = await clerk.authenticate(request);
  assert.equal(auth.reason, 'store-error');
  assert.match(auth.error.cause.message, /latin1/);
  assert.equal(users.takeLog(), '');
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  clerk.invalidateAll();
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  assert.equal(checks, 3);
});

test('the setting `database` is a table of the library, for requests and webhook events', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'clerk-database-'));
  t.after(() => rmSync(folder, { recursive: true }));
  await sim.reset({ webhook_secret: WEBHOOK_SECRET });
  await sim.user('user_1', ADA);
  const clerk = sim.client({ database: `sqlite:${path.join(folder, 'users.db')}`, webhookSecrets: WEBHOOK_SECRET });
  request = await sim.bearer({ user: 'user_1' });
  const [first, second] = [await clerk.authenticate(request), await clerk.authenticate(request)];
  assert.deepEqual([first.status, first.source, second.source], ['signed-in', 'verified', 'cache']);
  assert.deepEqual(first.localUser, { key: '1', row: null });
  await sim.admin('PATCH', '/users/user_1', { banned: true, updated_at: Date.now() + 60_000 });
  const webhook = await sim.admin('POST', '/webhook', { type: 'user.updated', id: 'user_1' });
  assert.equal((await clerk.webhooks.handle(webhook)).outcome, 'applied');
  const banned = await clerk.authenticate(await sim.bearer({ user: 'user_1' }));
  assert.deepEqual([banned.status, banned.reason], ['signed-out', 'user-inactive']);
  await clerk.close();
  for (const database of ['oracle://app:hidden@h/db', 'postgres://app:hidden@127.0.0.1:1/db'])
    assert.throws(
      () => sim.client({ database }),
      (error) => error.code === 'CLERK_CONFIG' && !error.message.includes('hidden'),
    );
});
