// Webhooks: a verified one is applied once, to the cache and to the table; any other changes nothing.
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import { beforeEach, test } from 'node:test';
import { ClerkError } from 'clerk-auth';
import { ADA, startSim } from './support/sim.mjs';
import { UserTable } from './support/user-table.mjs';

const SECRET = 'whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=';
const sim = await startSim();
beforeEach(async () => {
  await sim.reset({ webhook_secret: SECRET });
  await sim.user('user_1', ADA);
});

const signedWebhook = (spec) => sim.admin('POST', '/webhook', spec);
const changeUser = (user) => sim.admin('PATCH', '/users/user_1', { updated_at: Date.now() + 60_000, ...user });

/** A table with all columns. */
const VERSIONED = [
  'clerkId',
  'email',
  'username',
  'firstName',
  'lastName',
  'imageUrl',
  'lastActiveAtMs',
  'isActive',
  'bannedByClerk',
  'clerkUpdatedAtMs',
];

test('user.updated updates the row and the cached user', async () => {
  const users = Object.assign(new UserTable(), { columns: VERSIONED });
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const request = await sim.bearer({ user: 'user_1' });
  await clerk.authenticate(request);
  await changeUser({ first_name: 'Augusta' });
  const webhook = await signedWebhook({ type: 'user.updated', id: 'user_1' });
  users.takeLog();
  await sim.admin('DELETE', '/counts');
  const { event, ...result } = await clerk.webhooks.handle(webhook);
  assert.deepEqual([event.type, event.data.id], ['user.updated', 'user_1']);
  assert.deepEqual(result, { outcome: 'applied', httpStatus: 200, error: null });
  assert.equal(users.takeLog(), 'findByClerkId update');
  assert.equal(users.rows[0].firstName, 'Augusta');
  assert.equal((await clerk.webhooks.handle(webhook)).outcome, 'ignored');
  assert.equal(users.takeLog(), '');
  assert.equal((await clerk.authenticate(request)).profile.firstName, 'Augusta');
  assert.equal(await sim.count(), 0);
});

test('user.created creates a row and emits each event once', async () => {
  const users = new UserTable();
  users.add({ clerkId: null, email: 'x@example.com', username: 'ada' });
  users.add({ clerkId: 'user_other', email: 'ada@example.com', username: 'other' });
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const events = [];
  for (const name of ['userCreated', 'linkConflict', 'userUpdated', 'authSuccess'])
    clerk.events.on(name, (event) => events.push(event.type));
  const result = await clerk.webhooks.handle(await signedWebhook({ type: 'user.created', id: 'user_1' }));
  assert.equal(result.outcome, 'applied');
  assert.equal(users.takeLog(), 'findByClerkId findByEmail usernameTaken usernameTaken create');
  assert.equal(users.get('user_1').username, 'ada-2');
  assert.deepEqual(events.sort(), ['linkConflict', 'userCreated']);
});

test('ban, session.revoked and user.deleted reject valid tokens at once', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, webhookSecrets: [SECRET] });
  const deleted = [];
  clerk.events.on('userDeleted', (event) => deleted.push(event.clerkId));
  const request = await sim.bearer({ user: 'user_1', sid: 'sess_1' });
  assert.equal((await clerk.authenticate(request)).status, 'signed-in');
  await changeUser({ banned: true });
  assert.equal(
    (await clerk.webhooks.handle(await signedWebhook({ type: 'user.updated', id: 'user_1' }))).outcome,
    'applied',
  );
  assert.equal(users.rows[0].isActive, false);
  assert.equal(users.rows[0].bannedByClerk, true);
  assert.equal((await clerk.authenticate(request)).reason, 'user-inactive');
  await sim.user('user_2', {});
  const other = await sim.bearer({ user: 'user_2', sid: 'sess_2' });
  assert.equal((await clerk.authenticate(other)).status, 'signed-in');
  await clerk.webhooks.handle(
    await signedWebhook({
      type: 'session.revoked',
      id: 'sess_2',
      data: { id: 'sess_2', user_id: 'user_2', status: 'revoked' },
    }),
  );
  assert.equal((await clerk.authenticate(other)).reason, 'session-revoked');
  await clerk.webhooks.handle(await signedWebhook({ type: 'user.deleted', id: 'user_2' }));
  assert.equal(
    (await clerk.authenticate(await sim.bearer({ user: 'user_2', sid: 'sess_3' }))).reason,
    'user-not-found',
  );
  assert.deepEqual(deleted, ['user_2']);
});

test('failing store: 503, and the retry is applied', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const webhook = await signedWebhook({ type: 'user.created', id: 'user_1' });
  const thrown = new Error('disk full');
  users.before = (name) => {
    if (name === 'create') throw thrown;
  };
  const failed = await clerk.webhooks.handle(webhook);
  assert.equal(failed.outcome, 'unavailable');
  assert.equal(failed.httpStatus, 503);
  assert.equal(failed.error.code, 'CLERK_UNAVAILABLE');
  assert.equal(failed.error.cause, thrown);
  assert.equal(users.rows.length, 0);
  users.before = () => {};
  assert.equal((await clerk.webhooks.handle(webhook)).outcome, 'applied');
  assert.equal(users.rows.length, 1);
});

test('slow store: 503 at the deadline, and the retry is applied', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, webhookSecrets: SECRET, storeTimeoutMs: 100 });
  const created = [];
  clerk.events.on('userCreated', (event) => created.push(event.clerkId));
  const webhook = await signedWebhook({ type: 'user.created', id: 'user_1' });
  users.before = () => new Promise(() => {});
  const began = performance.now();
  const late = await clerk.webhooks.handle(webhook);
  assert.ok(performance.now() - began < 1000);
  assert.deepEqual([late.outcome, late.httpStatus], ['unavailable', 503]);
  assert.equal(late.error.cause.code, 'CLERK_STORE_TIMEOUT');
  users.before = () => {};
  assert.equal((await clerk.webhooks.handle(webhook)).outcome, 'applied');
  assert.deepEqual(created, ['user_1']);
});

test('without clerkUpdatedAtMs the user is fetched before a webhook changes the row', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  await clerk.authenticate(await sim.bearer({ user: 'user_1' }));
  await changeUser({ first_name: 'Augusta' });
  const late = await signedWebhook({ type: 'user.updated', id: 'user_1' });
  await changeUser({ first_name: 'Newer', updated_at: Date.now() + 120_000 });
  await sim.admin('DELETE', '/counts');
  assert.equal((await clerk.webhooks.handle(late)).outcome, 'applied');
  assert.equal(users.rows[0].firstName, 'Newer');
  assert.equal(await sim.count('/users/{id}'), 1);
});

/** Starts a webhook whose store does not respond before `release` is called. */
async function startBlocked(options) {
  const users = Object.assign(new UserTable(), { columns: VERSIONED });
  users.add({ clerkId: 'user_1', username: 'ada', clerkUpdatedAtMs: 1 });
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  let release;
  const called = new Promise((resolve) => {
    users.before = () => {
      users.before = () => {};
      resolve();
      return new Promise((open) => (release = open));
    };
  });
  const call = clerk.webhooks.handle(await signedWebhook({ type: 'user.created', id: 'user_1' }), options);
  await called;
  return { clerk, users, call, release };
}

test('close() waits for a webhook that waits for the store', async () => {
  const { clerk, users, call, release } = await startBlocked();
  let isClosed = false;
  const closed = clerk.close().then(() => (isClosed = true));
  await assert.rejects(clerk.webhooks.handle({ headers: {}, body: '' }), { code: 'CLERK_CLOSED' });
  assert.equal(isClosed, false);
  release();
  assert.equal((await call).outcome, 'applied');
  await closed;
  assert.equal(users.rows[0].firstName, 'Ada');
});

test('abort: the promise rejects at once, the webhook is applied', async () => {
  const controller = new AbortController();
  const { clerk, users, call, release } = await startBlocked({ signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
  release();
  await clerk.close();
  assert.equal(users.rows[0].firstName, 'Ada');
});

test('two concurrent webhooks and a request create one row', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const webhook = await signedWebhook({ type: 'user.created', id: 'user_1' });
  const second = await signedWebhook({ type: 'user.updated', id: 'user_1' });
  const request = await sim.bearer({ user: 'user_1' });
  const [one, two, auth] = await Promise.all([
    clerk.webhooks.handle(webhook),
    clerk.webhooks.handle(second),
    clerk.authenticate(request),
  ]);
  assert.deepEqual([one.outcome, two.outcome, auth.status], ['applied', 'applied', 'signed-in']);
  assert.equal(users.rows.length, 1);
});

test('without a store the cached user is updated', async () => {
  const clerk = sim.client({ userMode: 'profile', webhookSecrets: SECRET });
  const request = await sim.bearer({ user: 'user_1' });
  assert.equal((await clerk.authenticate(request)).profile.firstName, 'Ada');
  await changeUser({ first_name: 'Augusta' });
  assert.equal(
    (await clerk.webhooks.handle(await signedWebhook({ type: 'user.updated', id: 'user_1' }))).outcome,
    'applied',
  );
  assert.equal((await clerk.authenticate(request)).profile.firstName, 'Augusta');
});

test('unverified webhook is rejected', async () => {
  const users = new UserTable();
  const clerk = sim.client({ users, webhookSecrets: SECRET });
  const good = await signedWebhook({ type: 'user.updated', id: 'user_1' });
  const cases = [
    await signedWebhook({ type: 'user.updated', id: 'user_1', bad_signature: true }),
    await signedWebhook({ type: 'user.updated', id: 'user_1', timestamp: 1_000_000 }),
    { headers: {}, body: good.body },
    { headers: good.headers, body: `${good.body} ` },
    { headers: { ...good.headers, 'SVIX-ID': 'msg_2' }, body: good.body },
    { headers: good.headers, body: Buffer.alloc((1 << 20) + 1) },
  ];
  for (const webhook of cases) {
    const result = await clerk.webhooks.handle(webhook);
    assert.equal(result.outcome, 'rejected');
    assert.equal(result.httpStatus, 400);
    assert.equal(result.error.code, 'CLERK_WEBHOOK');
  }
  assert.equal(users.takeLog(), '');
  assert.equal(
    (await clerk.webhooks.handle(await signedWebhook({ type: 'email.created', data: {} }))).outcome,
    'ignored',
  );
});

test('accepted forms of a webhook request', async (t) => {
  const clerk = sim.client({ webhookSecrets: SECRET });
  const newWebhook = () => signedWebhook({ type: 'user.updated', id: 'user_1' });
  let webhook = await newWebhook();
  const fetched = new Request('http://localhost/', { method: 'POST', headers: webhook.headers, body: webhook.body });
  assert.equal((await clerk.webhooks.handle(fetched)).outcome, 'applied');
  await assert.rejects(clerk.webhooks.handle(fetched), { name: 'TypeError', message: /has been read already/ });
  for (const body of [
    (text) => text,
    (text) => Buffer.from(text),
    (text) => new TextEncoder().encode(text),
    (text) => new TextEncoder().encode(text).buffer,
  ]) {
    webhook = await newWebhook();
    assert.equal(
      (await clerk.webhooks.handle({ headers: new Headers(webhook.headers), body: body(webhook.body) })).outcome,
      'applied',
    );
  }
  const wrong = [
    [{ headers: webhook.headers, body: JSON.parse(webhook.body) }, /request\.body must be the raw bytes/],
    [{ headers: webhook.headers }, /request\.body must be the raw bytes/],
    [
      {
        headers: webhook.headers,
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
  webhook = await newWebhook();
  const response = await fetch(url, { method: 'POST', headers: webhook.headers, body: webhook.body });
  assert.deepEqual([response.status, await response.text()], [200, 'applied']);
  const huge = await fetch(url, { method: 'POST', headers: webhook.headers, body: Buffer.alloc(3 << 20) }).catch(
    (error) => error,
  );
  assert.ok(huge instanceof Error || huge.status === 400, String(huge.status));
});

test('unread stream is read although a body parser for other types set `body`', async (t) => {
  const clerk = sim.client({ webhookSecrets: SECRET });
  const server = http.createServer(async (req, res) => {
    // What express.urlencoded() of Express 4 does with JSON; with `?parsed`, what express.json() does.
    req.body = {};
    if (req.url.includes('parsed')) for await (const chunk of req) req.body = JSON.parse(chunk);
    const handled = clerk.webhooks.handle(req).then(
      ({ outcome }) => outcome,
      (error) => error.name,
    );
    res.end(await handled);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  for (const [path, expected] of [
    ['', 'applied'],
    ['?parsed', 'TypeError'],
  ]) {
    const { headers, body } = await signedWebhook({ type: 'session.ended', id: 'sess_1' });
    const url = `http://127.0.0.1:${server.address().port}/${path}`;
    assert.equal(await (await fetch(url, { method: 'POST', headers, body })).text(), expected);
  }
});

test('body that does not arrive is rejected at the deadline', async () => {
  const clerk = sim.client({ webhookSecrets: SECRET, timeoutMs: 100 });
  const { headers } = await signedWebhook({ type: 'user.updated', id: 'user_1' });
  const stalled = {
    headers,
    async *[Symbol.asyncIterator]() {
      yield Buffer.from('{');
      await new Promise(() => {});
    },
  };
  const result = await clerk.webhooks.handle(stalled);
  assert.equal(result.outcome, 'rejected');
  assert.match(result.error.message, /100 ms/);
});

test('body that ends early is rejected with the cause', async (t) => {
  const clerk = sim.client({ webhookSecrets: SECRET });
  const { headers } = await signedWebhook({ type: 'user.updated', id: 'user_1' });
  const assertEndedEarly = ({ outcome, httpStatus, error }) => {
    assert.deepEqual([outcome, httpStatus], ['rejected', 400]);
    assert.ok(error instanceof ClerkError);
    assert.equal(error.code, 'CLERK_WEBHOOK');
    assert.match(error.message, /ended early/);
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
  assertEndedEarly(fetched);
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
  const result = clerk.webhooks.handle(req);
  client.destroy();
  assertEndedEarly(await result);

  const locked = new Request('http://localhost/', { method: 'POST', headers, body: 'x' });
  locked.body.getReader();
  await assert.rejects(clerk.webhooks.handle(locked), { name: 'TypeError', message: /^request/ });
});

test('900 signature headers are rejected without an exception', async () => {
  const clerk = sim.client({ webhookSecrets: SECRET });
  const { headers, body } = await signedWebhook({ type: 'user.updated', id: 'user_1' });
  const name = 'svix-id';
  const value = headers[name];
  const lines = [...Object.entries(headers), ...Array.from({ length: 900 }, () => [name, value])];
  assert.equal((await clerk.webhooks.handle({ headers: lines, body })).outcome, 'rejected');
});
