// The helpers for the tests of applications: tokens, webhooks, and the tests of user stores.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ClerkClient, ConflictError } from 'clerk-auth';
import { startTestClerk, userStoreTests } from 'clerk-auth/testing';
import { Accounts } from '../examples/accounts.mjs';
import { UserTable } from './support/user-table.mjs';

const clerk = await startTestClerk();
const client = new ClerkClient(clerk.options);
after(async () => {
  await client.close();
  await clerk.close();
});

for (const { name, run } of userStoreTests(() => new Accounts())) test(`accounts.mjs, ${name}`, run);

test('token is accepted without a request, by its own instance only', async () => {
  const auth = await client.authenticate({ headers: clerk.headers({ userId: 'user_ada' }) });
  assert.deepEqual([auth.status, auth.userId, auth.sessionId], ['signed-in', 'user_ada', 'sess_ada']);
  assert.equal(clerk.requests, 0);
  assert.equal((await client.verifyToken(clerk.token({ expiresInS: -60 }))).reason, 'token-expired');
  assert.equal(
    (await client.verifyToken(clerk.token({ claims: { iss: 'https://other.example' } }))).status,
    'signed-out',
  );
  const other = await startTestClerk();
  assert.equal((await client.verifyToken(other.token())).reason, 'token-invalid-issuer');
  await other.close();
  assert.equal((await client.verifyToken(`${clerk.token()}x`)).status, 'signed-out');
});

test('token has the organization, its permissions, features and plan', async () => {
  const auth = await client.verifyToken(
    clerk.token({
      userId: 'user_ada',
      orgId: 'org_1',
      orgSlug: 'acme',
      orgRole: 'org:admin',
      orgPermissions: ['org:invoices:create', 'org:invoices:read', 'org:reports:read'],
      features: ['export'],
      plan: 'gold',
    }),
  );
  assert.deepEqual([auth.orgId, auth.orgSlug, auth.orgRole], ['org_1', 'acme', 'org:admin']);
  assert.deepEqual(auth.orgPermissions.sort(), ['org:invoices:create', 'org:invoices:read', 'org:reports:read']);
  assert.ok(auth.has({ feature: 'export', plan: 'gold', role: 'org:admin' }));
  assert.ok(!auth.has({ permission: 'org:reports:create' }));
  const alone = await client.verifyToken(clerk.token({ features: ['export'], plan: 'pro', claims: { note: 'x' } }));
  assert.ok(alone.has({ feature: 'user:export', plan: 'user:pro' }) && alone.sessionClaims.note === 'x');
});

test('users, webhooks and ended sessions reach a client', async () => {
  const users = new UserTable();
  const synced = new ClerkClient({ ...clerk.options, users });
  const { id } = clerk.user({ email: 'ada@example.com', username: 'ada' });
  const headers = clerk.headers({ userId: id });
  assert.equal((await synced.authenticate({ headers })).localUser.row.email, 'ada@example.com');
  const banned = clerk.user({ id, email: 'ada@example.com', username: 'ada', banned: true });
  assert.equal((await synced.webhooks.handle(clerk.webhook('user.updated', banned))).outcome, 'applied');
  assert.equal((await synced.authenticate({ headers })).reason, 'user-inactive');
  const checking = new ClerkClient({ ...clerk.options, sessionCheckTtlS: 5 });
  assert.equal((await checking.authenticate({ headers: clerk.headers({ sessionId: 'sess_1' }) })).status, 'signed-in');
  clerk.endSession('sess_2');
  assert.equal((await checking.authenticate({ headers: clerk.headers({ sessionId: 'sess_2' }) })).status, 'signed-out');
  await Promise.all([synced.close(), checking.close()]);
});

/** Each of these stores has one defect, which one test finds. */
const DEFECTS = {
  'Clerk ids are compared exactly': {
    findByClerkId(id) {
      return this.rows.find((row) => row.clerkId?.toLowerCase() === id.toLowerCase());
    },
  },
  'update obeys its condition': {
    async update(key, columns) {
      return Object.assign(
        this.rows.find((row) => String(row.key) === key),
        columns,
      );
    },
  },
  'a row of many users at once is linked once': {
    async update(key, columns, condition) {
      const row = await this.findByKey(key);
      if (condition.onlyIfUnlinked && row.clerkId) throw new ConflictError();
      await new Promise(setImmediate);
      return Object.assign(row, columns);
    },
  },
  'usernameTaken ignores case and the own row': {
    usernameTaken(username) {
      return this.rows.some((row) => row.username === username);
    },
  },
  'a Clerk id or username that exists is a conflict': {
    create(columns) {
      return this.add(columns);
    },
  },
  'a deactivated row is found among many with its address': {
    findByEmail(email) {
      return this.rows.filter((row) => row.email === email).slice(0, 2);
    },
  },
  'names outside ASCII, and of four bytes, are stored': {
    create(columns) {
      return this.add({ ...columns, firstName: columns.firstName.replace(/[^\x20-\x7e]/g, '?') });
    },
  },
};
for (const [name, defect] of Object.entries(DEFECTS)) {
  test(`a store with a defect fails: ${name}`, async () => {
    const found = userStoreTests(() => Object.assign(new UserTable(), defect)).find((each) => each.name.endsWith(name));
    await assert.rejects(found.run());
  });
}
