'use strict';
// Tests that every user store must pass; for the tests of applications.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { toBoolean, toMilliseconds } = require('./columns.js');
const { isAborted, isConflict } = require('./database-errors.js');

const ROUNDS = 5;
const CONCURRENT = 50;
const ANYTHING = { onlyIfUnlinked: false, maxVersion: null, onlyIfActive: false, onlyIfBanned: false };
const ALL = [
  'clerkId',
  'email',
  'username',
  'firstName',
  'lastName',
  'imageUrl',
  'lastActiveAtMs',
  'isActive',
  'bannedByClerk',
];

const unique = (prefix) => prefix + crypto.randomBytes(9).toString('hex');
const text = (value) => value ?? '';

/** The store under test, through which each test creates rows of its own. */
class Subject {
  constructor(store) {
    this.store = store;
    this.columns = store.columns ?? ALL;
  }

  has(...names) {
    return names.every((name) => this.columns.includes(name));
  }

  /** Leaves out what the table lacks, and what is undefined. */
  only(columns) {
    return Object.fromEntries(Object.entries(columns).filter(([name, value]) => value !== undefined && this.has(name)));
  }

  newUser(columns = {}) {
    const id = unique('');
    return this.only({
      clerkId: `user_${id}`,
      email: `${id}@example.com`,
      username: id,
      firstName: 'Ada',
      lastName: 'Lovelace',
      lastActiveAtMs: 1700000000123,
      isActive: true,
      bannedByClerk: false,
      clerkUpdatedAtMs: 1700000000456,
      ...columns,
    });
  }

  async create(columns) {
    const created = await again(() => this.store.create(columns));
    const key = String(typeof created === 'object' && created !== null ? created.key : created);
    const row = await this.store.findByKey(key);
    assert.ok(row, 'findByKey must find the row that create made');
    assert.equal(String(row.key), key);
    if (typeof created === 'object' && created !== null && created.clerkId !== undefined)
      this.equal(created, columns, 'create');
    this.equal(row, columns, 'findByKey');
    return { key, row };
  }

  /** Compares the columns of a row with what was written. */
  equal(row, columns, method) {
    for (const [name, written] of Object.entries(columns)) {
      const message = `${method}: row.${name}`;
      if (name.endsWith('Ms')) assert.equal(toMilliseconds(row[name] ?? null), written, message);
      else if (typeof written === 'boolean') assert.equal(toBoolean(row[name]), written, message);
      else assert.equal(text(row[name]), text(written), message);
    }
  }

  update(key, columns, condition = {}) {
    return again(() => this.store.update(key, this.only(columns), { ...ANYTHING, ...condition }));
  }
}

/** Repeats what the database aborted because of another transaction, as a client does. */
async function again(write) {
  for (let restarts = 0; ; restarts++) {
    try {
      return await write();
    } catch (error) {
      if (restarts === 10 || !isAborted(error)) throw error;
    }
  }
}

async function conflicts(promise, message) {
  await assert.rejects(
    promise,
    (error) => isConflict(error) || assert.fail(`${message}: not a ConflictError: ${error}`),
    message,
  );
}

/** Runs `write(i)` at once and returns how many succeeded; the others must be conflicts. */
async function race(write) {
  const outcomes = await Promise.allSettled(Array.from({ length: CONCURRENT }, (_, i) => write(i)));
  for (const { reason } of outcomes.filter(({ status }) => status === 'rejected')) {
    assert.ok(isConflict(reason), `not a ConflictError: ${reason}`);
  }
  return outcomes.filter(({ status }) => status === 'fulfilled').length;
}

const TESTS = {
  async 'a created row is found by key, Clerk id and address'(s) {
    const user = s.newUser();
    const { key } = await s.create(user);
    if (s.has('clerkId')) assert.equal(String((await s.store.findByClerkId(user.clerkId)).key), key);
    if (s.has('email')) {
      const found = [await s.store.findByEmail(user.email.toUpperCase())].flat().filter(Boolean);
      assert.deepEqual(
        found.map((row) => String(row.key)),
        [key],
        'findByEmail must ignore case',
      );
      assert.equal(
        [await s.store.findByEmail(`_${user.email.slice(1)}`)].flat().filter(Boolean).length,
        0,
        'wildcards',
      );
    }
  },

  async 'missing rows are null or no row'(s) {
    const { key, clerkId } = { ...(await s.create(s.newUser())), clerkId: unique('user_') };
    if (s.has('clerkId')) assert.equal((await s.store.findByClerkId(clerkId)) ?? null, null);
    if (s.has('email'))
      assert.equal([await s.store.findByEmail(`${clerkId}@example.com`)].flat().filter(Boolean).length, 0);
    if (/^\d+$/.test(key)) assert.equal((await s.store.findByKey('9007199254740991')) ?? null, null);
  },

  async 'a deactivated row is found among many with its address'(s) {
    if (!s.has('email', 'clerkId', 'isActive', 'bannedByClerk')) return;
    const email = `${unique('a')}@example.com`;
    let key;
    for (let i = 0; i < 17; i++) {
      try {
        ({ key } = await s.create(s.newUser({ email })));
      } catch (error) {
        if (isConflict(error)) return; // addresses are unique in this table
        throw error;
      }
    }
    await s.update(key, { isActive: false });
    const found = [await s.store.findByEmail(email)].flat().filter(Boolean);
    assert.ok(
      found.length >= 2 && found.some((row) => String(row.key) === key),
      'findByEmail must return two rows, first those that the application has deactivated',
    );
  },

  async 'an address is found among those that differ in an accent'(s) {
    if (!s.has('email', 'clerkId')) return;
    const name = unique('x');
    let key;
    for (const letter of ['é', 'è', 'ê', 'E']) {
      try {
        ({ key } = await s.create(s.newUser({ email: `jos${letter}${name}@example.com` })));
      } catch (error) {
        if (isConflict(error)) return; // addresses are unique in this table, without accents
        throw error;
      }
    }
    const found = [await s.store.findByEmail(`jose${name}@example.com`)].flat().filter(Boolean);
    assert.ok(
      found.some((row) => String(row.key) === key),
      'findByEmail must return the row with the address',
    );
  },

  async 'I and i differ in case only'(s) {
    if (!s.has('email', 'username')) return;
    const name = unique('');
    const { key } = await s.create(s.newUser({ email: `I${name}@x`, username: `I${name}` }));
    const found = [await s.store.findByEmail(`i${name}@x`)].flat().filter(Boolean);
    assert.deepEqual(
      found.map((row) => String(row.key)),
      [key],
      'findByEmail',
    );
    assert.equal(await s.store.usernameTaken(`i${name}`, null), true);
    await conflicts(s.store.create(s.newUser({ username: `i${name}` })), 'create, username');
  },

  async 'Clerk ids are compared exactly'(s) {
    if (!s.has('clerkId')) return;
    const id = `user_${unique('aBc')}`;
    const { key } = await s.create(s.newUser({ clerkId: id }));
    const other = await s.create(s.newUser({ clerkId: id.toLowerCase() }));
    assert.notEqual(other.key, key, 'ids that differ in case are two users');
    assert.equal(String((await s.store.findByClerkId(id)).key), key);
    assert.equal((await s.store.findByClerkId(id.toUpperCase())) ?? null, null);
  },

  async 'names outside ASCII, and of four bytes, are stored'(s) {
    const firstName = 'Zoë 北京 😀';
    const { key } = await s.create(s.newUser({ firstName }));
    if (s.has('firstName')) assert.equal((await s.store.findByKey(key)).firstName, firstName);
  },

  async 'null clears an address, and absent columns stay'(s) {
    if (!s.has('email', 'firstName')) return;
    const user = s.newUser();
    const { key } = await s.create(user);
    await s.update(key, { email: null });
    s.equal(await s.store.findByKey(key), { ...user, email: null }, 'update');
  },

  async 'usernameTaken ignores case and the own row'(s) {
    if (!s.has('username')) return;
    const user = s.newUser({ username: unique('Name') });
    const { key } = await s.create(user);
    assert.equal(await s.store.usernameTaken(user.username.toUpperCase(), null), true);
    assert.equal(await s.store.usernameTaken(user.username, key), false);
    assert.equal(await s.store.usernameTaken(unique('free'), null), false);
  },

  async 'a Clerk id or username that exists is a conflict'(s) {
    const user = s.newUser();
    const { key } = await s.create(user);
    const other = await s.create(s.newUser());
    if (s.has('clerkId')) await conflicts(s.store.create(s.newUser({ clerkId: user.clerkId })), 'create, clerkId');
    if (s.has('username')) {
      await conflicts(s.store.create(s.newUser({ username: user.username })), 'create, username');
      await conflicts(s.update(other.key, { username: user.username }), 'update, username');
    }
    s.equal(await s.store.findByKey(key), user, 'findByKey');
  },

  async 'update obeys its condition'(s) {
    const { key } = await s.create(s.newUser({ clerkId: undefined, isActive: true, clerkUpdatedAtMs: 5 }));
    if (s.has('clerkId')) {
      await s.update(key, { clerkId: unique('user_') }, { onlyIfUnlinked: true });
      await conflicts(s.update(key, { clerkId: unique('user_') }, { onlyIfUnlinked: true }), 'onlyIfUnlinked');
    }
    if (s.has('clerkUpdatedAtMs')) {
      await s.update(key, { clerkUpdatedAtMs: 6 }, { maxVersion: 6 });
      await s.update(key, { clerkUpdatedAtMs: 6 }, { maxVersion: 6 });
      await conflicts(s.update(key, { firstName: 'Older', clerkUpdatedAtMs: 5 }, { maxVersion: 5 }), 'maxVersion');
    }
    if (s.has('isActive', 'bannedByClerk')) {
      const lift = { isActive: true, bannedByClerk: false };
      const ban = { isActive: false, bannedByClerk: true };
      await conflicts(s.update(key, lift, { onlyIfBanned: true }), 'onlyIfBanned, an active row');
      await s.update(key, ban, { onlyIfActive: true });
      await conflicts(s.update(key, ban, { onlyIfActive: true }), 'onlyIfActive');
      await s.update(key, lift, { onlyIfBanned: true });
      await s.update(key, { isActive: false });
      await conflicts(
        s.update(key, lift, { onlyIfBanned: true }),
        'onlyIfBanned, a row that the application deactivated',
      );
    }
    const other = await s.create(s.newUser());
    assert.notEqual(other.key, key);
  },

  async 'a row of many users at once is linked once'(s) {
    if (!s.has('clerkId')) return;
    for (let round = 0; round < ROUNDS; round++) {
      const { key } = await s.create(s.newUser({ clerkId: undefined }));
      const ids = Array.from({ length: CONCURRENT }, () => unique('user_'));
      const linked = await race((i) => s.update(key, { clerkId: ids[i] }, { onlyIfUnlinked: true }));
      assert.equal(linked, 1, 'onlyIfUnlinked must be part of the statement');
      const owners = await Promise.all(ids.map((id) => s.store.findByClerkId(id)));
      assert.equal(owners.filter(Boolean).length, 1);
    }
  },

  async 'a user who is created many times at once has one row'(s) {
    if (!s.has('clerkId')) return;
    for (let round = 0; round < ROUNDS; round++) {
      const clerkId = unique('user_');
      assert.equal(await race(() => again(() => s.store.create(s.newUser({ clerkId })))), 1, 'clerkId must be unique');
    }
  },

  async 'a username that many want at once has one row'(s) {
    if (!s.has('username')) return;
    for (let round = 0; round < ROUNDS; round++) {
      const username = unique('name');
      assert.equal(
        await race(() => again(() => s.store.create(s.newUser({ username })))),
        1,
        'username must be unique',
      );
    }
  },

  async 'of many versions at once the newest remains'(s) {
    if (!s.has('clerkUpdatedAtMs', 'firstName')) return;
    for (let round = 0; round < ROUNDS; round++) {
      const { key } = await s.create(s.newUser({ clerkUpdatedAtMs: 0 }));
      await race((i) => {
        const version = 1 + ((i * 7) % CONCURRENT);
        return s.update(key, { firstName: `v${version}`, clerkUpdatedAtMs: version }, { maxVersion: version });
      });
      s.equal(await s.store.findByKey(key), { firstName: `v${CONCURRENT}`, clerkUpdatedAtMs: CONCURRENT }, 'update');
    }
  },
};

/**
 * Returns tests of a user store, as `{ name, run }`, for any test runner. `createStore()` returns the store to test, whose table
 * the tests fill with rows.
 */
function userStoreTests(createStore) {
  if (typeof createStore !== 'function')
    throw new TypeError('createStore must be a function that returns a user store');
  return Object.entries(TESTS).map(([name, body]) => ({
    name: `user store: ${name}`,
    run: async () => body(new Subject(await createStore())),
  }));
}

module.exports = { userStoreTests };
