// Webhook deliveries: those that are Clerk's count once, in memory and in the table; all others change nothing.
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import { beforeEach, test } from 'node:test';
import { ClerkError } from 'clerk-auth';
import { ADA, startSim } from './support/sim.mjs';
import { Table } from './support/table.mjs';

const SECRET = 'whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=';
const sim = await startSim();
beforeEach(async () => {
  await sim.reset({ webhook_secret: SECRET });
  await sim.user('user_1', ADA);
});

const delivery = (spec) => sim.admin('POST', '/webhook', spec);
const changed = (user) => sim.admin('PATCH', '/users/user_1', { updated_at: Date.now() + 60_000, ...user });

test("a changed user's row is brought up to date at once", async () => {
  const users = new Table();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const request = await sim.bearer({ user: 'user_1' });
  await clerk.authenticate(request);
  await changed({ first_name: 'Augusta' });
  const given = await delivery({ type: 'user.updated', id: 'user_1' });
  users.said();
  await sim.admin('DELETE', '/counts');
  const handled = await clerk.webhooks.handle(given);
  assert.deepEqual(handled, { outcome: 'applied', httpStatus: 200, error: null });
  assert.equal(users.said(), 'findByClerkId update');
  assert.equal(users.rows[0].firstName, 'Augusta');
  assert.equal((await clerk.webhooks.handle(given)).outcome, 'ignored');
  assert.equal(users.said(), '');
  assert.equal((await clerk.authenticate(request)).profile.firstName, 'Augusta');
  assert.equal(await sim.count(), 0);
});

test('a user whom nobody has seen yet gets a row, told of once', async () => {
  const users = new Table();
  users.add({ clerkId: null, email: 'x@example.com', username: 'ada' });
  users.add({ clerkId: 'user_other', email: 'ada@example.com', username: 'other' });
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const told = [];
  for (const name of ['userCreated', 'linkConflict', 'userUpdated', 'authSuccess'])
    clerk.events.on(name, (event) => told.push(event.type));
  const handled = await clerk.webhooks.handle(await delivery({ type: 'user.created', id: 'user_1' }));
  assert.equal(handled.outcome, 'applied');
  assert.equal(users.said(), 'findByClerkId findByEmail usernameTaken usernameTaken create');
  assert.equal(users.of('user_1').username, 'ada-2');
  assert.deepEqual(told.sort(), ['linkConflict', 'userCreated']);
});

test('a ban, an end, a deletion: out at once, whatever the token says', async () => {
  const users = new Table();
  const clerk = sim.client({ users, webhookSecrets: [SECRET] });
  const deleted = [];
  clerk.events.on('userDeleted', (event) => deleted.push(event.clerkId));
  const request = await sim.bearer({ user: 'user_1', sid: 'sess_1' });
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  await changed({ banned: true });
  assert.equal(
    (await clerk.webhooks.handle(await delivery({ type: 'user.updated', id: 'user_1' }))).outcome,
    'applied',
  );
  assert.equal(users.rows[0].isActive, false);
  assert.equal(users.rows[0].bannedByClerk, true);
  assert.equal((await clerk.authenticate(request)).reason, 'user-inactive');
  await sim.user('user_2', {});
  const other = await sim.bearer({ user: 'user_2', sid: 'sess_2' });
  assert.equal((await clerk.authenticate(other)).status, 'signed-in');
  await clerk.webhooks.handle(
    await delivery({
      type: 'session.revoked',
      id: 'sess_2',
      data: { id: 'sess_2', user_id: 'user_2', status: 'revoked' },
    }),
  );
  assert.equal((await clerk.authenticate(other)).reason, 'session-revoked');
  await clerk.webhooks.handle(await delivery({ type: 'user.deleted', id: 'user_2' }));
  assert.equal(
    (await clerk.authenticate(await sim.bearer({ user: 'user_2', sid: 'sess_3' }))).reason,
    'user-not-found',
  );
  assert.deepEqual(deleted, ['user_2']);
});

test('a table that fails: 503, and the delivery counts when it comes again', async () => {
  const users = new Table();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const given = await delivery({ type: 'user.created', id: 'user_1' });
  const thrown = new Error('disk full');
  users.before = (name) => {
    if (name === 'create') throw thrown;
  };
  const failed = await clerk.webhooks.handle(given);
  assert.equal(failed.outcome, 'unavailable');
  assert.equal(failed.httpStatus, 503);
  assert.equal(failed.error.code, 'CLERK_UNAVAILABLE');
  assert.equal(failed.error.cause, thrown);
  assert.equal(users.rows.length, 0);
  users.before = () => {};
  assert.equal((await clerk.webhooks.handle(given)).outcome, 'applied');
  assert.equal(users.rows.length, 1);
});

test('a table that is slow: 503 at the deadline, and the delivery counts when it comes again', async () => {
  const users = new Table();
  const clerk = sim.client({ users, webhookSecrets: SECRET, storeTimeoutMs: 100 });
  const created = [];
  clerk.events.on('userCreated', (event) => created.push(event.clerkId));
  const given = await delivery({ type: 'user.created', id: 'user_1' });
  users.before = () => new Promise(() => {});
  const began = performance.now();
  const late = await clerk.webhooks.handle(given);
  assert.ok(performance.now() - began < 1000);
  assert.deepEqual([late.outcome, late.httpStatus], ['unavailable', 503]);
  assert.equal(late.error.cause.code, 'CLERK_STORE_TIMEOUT');
  users.before = () => {};
  assert.equal((await clerk.webhooks.handle(given)).outcome, 'applied');
  assert.deepEqual(created, ['user_1']);
});

/** A delivery whose table does not answer before `release` is called. */
async function waiting(options) {
  const users = new Table();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  let release;
  const asked = new Promise((resolve) => {
    users.before = () => {
      users.before = () => {};
      resolve();
      return new Promise((open) => (release = open));
    };
  });
  const call = clerk.webhooks.handle(await delivery({ type: 'user.created', id: 'user_1' }), options);
  await asked;
  return { clerk, users, call, release };
}

test('closing waits for a delivery that waits for the table', async () => {
  const { clerk, users, call, release } = await waiting();
  let isClosed = false;
  const closed = clerk.close().then(() => (isClosed = true));
  await assert.rejects(clerk.webhooks.handle({ headers: {}, body: '' }), { code: 'CLERK_CLOSED' });
  assert.equal(isClosed, false);
  release();
  assert.equal((await call).outcome, 'applied');
  await closed;
  assert.equal(users.rows.length, 1);
});

test('an aborted delivery rejects at once, and goes on to its end', async () => {
  const controller = new AbortController();
  const { clerk, users, call, release } = await waiting({ signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
  release();
  await clerk.close();
  assert.equal(users.rows.length, 1);
});

test('two deliveries and a request at the same time make one row', async () => {
  const users = new Table();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const given = await delivery({ type: 'user.created', id: 'user_1' });
  const again = await delivery({ type: 'user.updated', id: 'user_1' });
  const request = await sim.bearer({ user: 'user_1' });
  const [one, two, auth] = await Promise.all([
    clerk.webhooks.handle(given),
    clerk.webhooks.handle(again),
    clerk.authenticate(request),
  ]);
  assert.deepEqual([one.outcome, two.outcome, auth.status], ['applied', 'applied', 'signed-in']);
  assert.equal(users.rows.length, 1);
});

test('without a table memory alone is brought up to date', async () => {
  const clerk = sim.client({ userMode: 'profile', webhookSecrets: SECRET });
  const request = await sim.bearer({ user: 'user_1' });
  assert.equal((await clerk.authenticate(request)).profile.firstName, 'Ada');
  await changed({ first_name: 'Augusta' });
  assert.equal(
    (await clerk.webhooks.handle(await delivery({ type: 'user.updated', id: 'user_1' }))).outcome,
    'applied',
  );
  assert.equal((await clerk.authenticate(request)).profile.firstName, 'Augusta');
});

test("what is not Clerk's is refused", async () => {
  const users = new Table();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const good = await delivery({ type: 'user.updated', id: 'user_1' });
  const cases = [
    await delivery({ type: 'user.updated', id: 'user_1', bad_signature: true }),
    await delivery({ type: 'user.updated', id: 'user_1', timestamp: 1_000_000 }),
    { headers: {}, body: good.body },
    { headers: good.headers, body: `${good.body} ` },
    { headers: { ...good.headers, 'SVIX-ID': 'msg_2' }, body: good.body },
    { headers: good.headers, body: Buffer.alloc((1 << 20) + 1) },
  ];
  for (const given of cases) {
    const handled = await clerk.webhooks.handle(given);
    assert.equal(handled.outcome, 'refused');
    assert.equal(handled.httpStatus, 400);
    assert.equal(handled.error.code, 'CLERK_WEBHOOK');
  }
  assert.equal(users.said(), '');
  assert.equal((await clerk.webhooks.handle(await delivery({ type: 'email.created', data: {} }))).outcome, 'ignored');
});

test('a delivery as Fetch, as Node, as parts of either', async (t) => {
  const clerk = sim.client({ webhookSecrets: SECRET });
  const made = () => delivery({ type: 'user.updated', id: 'user_1' });
  let given = await made();
  const fetched = new Request('http://localhost/', { method: 'POST', headers: given.headers, body: given.body });
  assert.equal((await clerk.webhooks.handle(fetched)).outcome, 'applied');
  await assert.rejects(clerk.webhooks.handle(fetched), { name: 'TypeError', message: /was read already/ });
  for (const body of [
    (text) => text,
    (text) => Buffer.from(text),
    (text) => new TextEncoder().encode(text),
    (text) => new TextEncoder().encode(text).buffer,
  ]) {
    given = await made();
    assert.equal(
      (await clerk.webhooks.handle({ headers: new Headers(given.headers), body: body(given.body) })).outcome,
      'applied',
    );
  }
  const wrong = [
    [{ headers: given.headers, body: JSON.parse(given.body) }, /request\.body must be the raw bytes/],
    [{ headers: given.headers }, /request\.body must be the raw bytes/],
    [
      {
        headers: given.headers,
        async *[Symbol.asyncIterator]() {
          yield { parsed: true };
        },
      },
      /request\.body must be a stream of raw bytes/,
    ],
    [{ headers: 5, body: '' }, /request\.headers must be/],
    [null, /request must be/],
  ];
  for (const [request, message] of wrong)
    await assert.rejects(clerk.webhooks.handle(request), { name: 'TypeError', message });

  const server = http.createServer(async (req, res) => {
    const { httpStatus, outcome } = await clerk.webhooks.handle(req);
    res.writeHead(httpStatus).end(outcome);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const url = `http://127.0.0.1:${server.address().port}/`;
  given = await made();
  const answer = await fetch(url, { method: 'POST', headers: given.headers, body: given.body });
  assert.deepEqual([answer.status, await answer.text()], [200, 'applied']);
  const huge = await fetch(url, { method: 'POST', headers: given.headers, body: Buffer.alloc(3 << 20) }).catch(
    (error) => error,
  );
  assert.ok(huge instanceof Error || huge.status === 400, String(huge.status));
});

test('a body that does not arrive ends at the deadline', async () => {
  const clerk = sim.client({ webhookSecrets: SECRET, timeoutMs: 100 });
  const { headers } = await delivery({ type: 'user.updated', id: 'user_1' });
  const stalled = {
    headers,
    async *[Symbol.asyncIterator]() {
      yield Buffer.from('{');
      await new Promise(() => {});
    },
  };
  const handled = await clerk.webhooks.handle(stalled);
  assert.equal(handled.outcome, 'refused');
  assert.match(handled.error.message, /100 ms/);
});

test('a body that breaks off is refused, with the cause', async (t) => {
  const clerk = sim.client({ webhookSecrets: SECRET });
  const { headers } = await delivery({ type: 'user.updated', id: 'user_1' });
  const isBrokenOff = ({ outcome, httpStatus, error }) => {
    assert.deepEqual([outcome, httpStatus], ['refused', 400]);
    assert.ok(error instanceof ClerkError);
    assert.equal(error.code, 'CLERK_WEBHOOK');
    assert.match(error.message, /broke off/);
    assert.ok(error.cause instanceof Error);
  };
  const terminated = new TypeError('terminated');
  const body = new ReadableStream({
    start: (stream) => stream.enqueue(new Uint8Array(3)),
    pull: (stream) => stream.error(terminated),
  });
  const fetched = await clerk.webhooks.handle(
    new Request('http://localhost/', { method: 'POST', headers, body, duplex: 'half' }),
  );
  isBrokenOff(fetched);
  assert.equal(fetched.error.cause, terminated);

  const server = http.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const client = http.request({
    port: server.address().port,
    method: 'POST',
    headers: { ...headers, 'content-length': '100' },
  });
  client.on('error', () => {});
  client.write('{');
  const [req] = await once(server, 'request');
  const handled = clerk.webhooks.handle(req);
  client.destroy();
  isBrokenOff(await handled);

  const locked = new Request('http://localhost/', { method: 'POST', headers, body: 'x' });
  locked.body.getReader();
  await assert.rejects(clerk.webhooks.handle(locked), { name: 'TypeError', message: /^request/ });
});

test('signature lines beyond number are refused, and no TypeError', async () => {
  const clerk = sim.client({ webhookSecrets: SECRET });
  const { headers, body } = await delivery({ type: 'user.updated', id: 'user_1' });
  const name = 'svix-id';
  const value = headers[name];
  const lines = [...Object.entries(headers), ...Array.from({ length: 900 }, () => [name, value])];
  assert.equal((await clerk.webhooks.handle({ headers: lines, body })).outcome, 'refused');
});
