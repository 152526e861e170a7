// What all middleware have in common: arguments, invalid tokens, several clients, types of tokens, reverification.
import assert from 'node:assert/strict';
import http from 'node:http';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import express from 'express';
import { Hono } from 'hono';
import Koa from 'koa';
import { ClerkClient } from 'clerk-auth';
import * as onExpress from 'clerk-auth/express';
import * as onHono from 'clerk-auth/hono';
import * as onHttp from 'clerk-auth/http';
import * as onKoa from 'clerk-auth/koa';
import { startTestClerk } from 'clerk-auth/testing';

const clerk = await startTestClerk();
const other = await startTestClerk();
const client = new ClerkClient(clerk.options);
const otherClient = new ClerkClient({ ...other.options, issuer: [], jwtKey: other.jwtKey });
const servers = [];
after(async () => {
  for (const server of servers) server.close();
  await Promise.all([client.close(), otherClient.close()]);
  await Promise.all([clerk.close(), other.close()]);
});

async function listen(handler) {
  const server = http.createServer(handler).listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise((resolve) => server.once('listening', resolve));
  return async (path, headers = {}) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers });
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
}

const guard = { permission: 'org:invoices:read' };
const whoami = (auth) => auth.userId ?? 'nobody';

/** Each function makes a server of two routes: `/`, with optional authentication, and `/guarded`, with `requireAuth(params)`. */
const frameworks = {
  express(source, options, params) {
    const app = express().use(onExpress.clerkMiddleware(source, options));
    app.get('/', (req, res) => res.send(whoami(onExpress.getAuth(req))));
    app.get('/guarded', onExpress.requireAuth(params), (req, res) => res.send('ok'));
    app.use((error, req, res, _next) => res.status(500).send(error.message));
    return app;
  },
  koa(source, options, params) {
    const app = new Koa({ env: 'test' }).on('error', () => {}).use(onKoa.clerkMiddleware(source, options));
    const guarded = onKoa.requireAuth(params);
    app.use((ctx) =>
      ctx.path === '/'
        ? void (ctx.body = whoami(onKoa.getAuth(ctx)))
        : guarded(ctx, async () => void (ctx.body = 'ok')),
    );
    return app.callback();
  },
  hono(source, options, params) {
    const app = new Hono().use('*', onHono.clerkMiddleware(source, options));
    app.get('/', (c) => c.text(whoami(c.get('clerkAuth'))));
    app.get('/guarded', onHono.requireAuth(params), (c) => c.text('ok'));
    const { getRequestListener } = createRequire(import.meta.url)('@hono/node-server');
    return getRequestListener(app.fetch);
  },
  http(source, options, params) {
    return onHttp.withAuth(
      source,
      (req, res) => {
        if (req.url === '/') res.end(whoami(onHttp.getAuth(req)));
        else if (onHttp.requireAuth(req, res, params)) res.end('ok');
      },
      options,
    );
  },
};

for (const [name, make] of Object.entries(frameworks)) {
  test(`${name}: rejectInvalid rejects invalid tokens and passes on requests without one`, async () => {
    const lenient = await listen(make(client));
    const strict = await listen(make(client, { rejectInvalid: true }));
    const expired = { authorization: `Bearer ${clerk.token({ expiresInS: -60 })}` };
    assert.deepEqual([(await lenient('/', expired)).status, (await lenient('/')).body], [200, 'nobody']);
    const rejected = await strict('/', expired);
    assert.deepEqual([rejected.status, JSON.parse(rejected.body)], [401, { error: 'token-expired' }]);
    assert.match(rejected.headers.get('www-authenticate'), /invalid_token/);
    assert.equal((await strict('/')).body, 'nobody');
    assert.equal((await strict('/', clerk.headers({ userId: 'user_ada' }))).body, 'user_ada');
  });

  test(`${name}: a function chooses the client of a request`, async () => {
    const hostOf = (source) => source.headers?.host ?? source.get?.('host') ?? source.req?.header('host') ?? '';
    const ask = await listen(make((source) => (hostOf(source) !== '' ? client : otherClient)));
    assert.equal((await ask('/', clerk.headers({ userId: 'user_ada' }))).body, 'user_ada');
    const wrong = await listen(make(() => 'no client'));
    assert.equal((await wrong('/', clerk.headers())).status, 500);
  });

  test(`${name}: checks of a route, and of the token's type`, async () => {
    const ask = await listen(make(client, undefined, guard));
    const member = clerk.headers({ orgId: 'org_1', orgPermissions: ['org:invoices:read'] });
    assert.deepEqual((await ask('/guarded', member)).body, 'ok');
    assert.equal((await ask('/guarded', clerk.headers({ orgId: 'org_1' }))).status, 403);
    assert.equal((await ask('/guarded')).status, 401);
    const machines = await listen(make(client, undefined, { acceptsToken: ['api_key', 'm2m_token'] }));
    assert.equal((await machines('/guarded', clerk.headers())).status, 401);
    const sessions = await listen(make(client, undefined, { acceptsToken: 'session_token' }));
    assert.equal((await sessions('/guarded', clerk.headers())).body, 'ok');
  });

  test(`${name}: a factor that was verified too long ago gives the response of Clerk's libraries`, async () => {
    const reverification = { level: 'first_factor', afterMinutes: 5 };
    const ask = await listen(make(client, undefined, { reverification }));
    assert.equal((await ask('/guarded', clerk.headers({ factorVerificationAge: [1, -1] }))).body, 'ok');
    const { status, body } = await ask('/guarded', clerk.headers({ factorVerificationAge: [10, -1] }));
    const error = { type: 'forbidden', reason: 'reverification-error', metadata: { reverification } };
    assert.deepEqual([status, JSON.parse(body)], [403, { clerk_error: error }]);
  });
}

test('wrong arguments are rejected when the route or the middleware is made', () => {
  const wrong = [
    {},
    null,
    'org:admin',
    [],
    { signInUrl: '/' },
    { role: '' },
    { role: undefined },
    { role: ['org:admin'] },
    { permission: 5 },
    { reverification: 'sometimes' },
    { reverification: { level: 'first_factor', afterMinutes: 0 } },
    { acceptsToken: 'cookie' },
    { acceptsToken: [] },
    () => true,
  ];
  for (const params of wrong) {
    for (const { requireAuth } of [onExpress, onKoa, onHono])
      assert.throws(() => requireAuth(params), TypeError, String(params));
    assert.throws(() => onHttp.requireAuth({}, {}, params), TypeError);
  }
  for (const { clerkMiddleware } of [onExpress, onKoa, onHono]) {
    for (const options of [null, 'x', { nonsense: true }, { rejectInvalid: 1 }])
      assert.throws(() => clerkMiddleware(client, options), TypeError);
    assert.throws(() => clerkMiddleware({ nonsense: 1 }), TypeError);
    // The default client is created on the first request: a build without secrets may load the module.
    assert.equal(typeof clerkMiddleware(), 'function');
  }
});

test('webhook hands out the event that Clerk has signed, and no other', async () => {
  const data = clerk.user({ email: 'ada@example.com' });
  const { headers, body } = clerk.webhook('user.updated', data);
  const { outcome, event } = await client.webhooks.handle({ headers, body });
  assert.deepEqual(
    [outcome, event.type, event.data.email_addresses],
    ['applied', 'user.updated', data.email_addresses],
  );
  const membership = clerk.webhook('organizationMembership.created', { id: 'orgmem_1' });
  assert.equal((await client.webhooks.handle(membership)).event.type, 'organizationMembership.created');
  const forged = await client.webhooks.handle({ headers, body: body.replace('ada', 'eve') });
  assert.deepEqual([forged.outcome, forged.event], ['rejected', null]);
});
