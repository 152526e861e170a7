import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import express from 'express';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/express';
import { testMiddleware } from './support/middleware-tests.mjs';

async function listening(app) {
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

const say = (req, res) => res.type('text').send(`${getAuth(req).status} ${getAuth(req).userId}`);

const sim = testMiddleware('express', (client) => {
  const app = express();
  app.use(clerkMiddleware(client));
  app.get('/', say);
  app.get('/private', requireAuth(), say);
  app.get('/admin', requireAuth({ role: 'org:admin' }), say);
  return listening(app);
});

test('express: settings instead of a client, and a missing middleware', async (t) => {
  const app = express();
  app.get('/unregistered', requireAuth(), say);
  app.use(clerkMiddleware(sim.settings()));
  app.get('/', say);
  app.use((error, req, res, _next) => res.status(500).send(error.code));
  const { url, close } = await listening(app);
  t.after(close);
  assert.equal(await (await fetch(url, { headers: await sim.bearer() })).text(), 'signed-in user_1');
  const unregistered = await fetch(`${url}/unregistered`, { headers: await sim.bearer() });
  assert.deepEqual([unregistered.status, await unregistered.text()], [500, 'CLERK_NO_MIDDLEWARE']);
  assert.throws(() => getAuth({}), { code: 'CLERK_NO_MIDDLEWARE' });
});

test('express: default client reads the environment and is shared', async (t) => {
  Object.assign(process.env, { CLERK_SECRET_KEY: 'sk_test_sim', CLERK_API_URL: sim.url });
  const app = express();
  app.use('/one', clerkMiddleware(), say);
  app.use('/two', clerkMiddleware(), say);
  const { url, close } = await listening(app);
  t.after(close);
  const headers = await sim.bearer({ user: 'user_1' });
  for (const path of ['/one', '/two'])
    assert.equal(await (await fetch(url + path, { headers })).text(), 'signed-in user_1');
  assert.equal(await sim.count('/jwks'), 1);
});

test('express: closed client passes CLERK_CLOSED to the error handler', async (t) => {
  const client = sim.client();
  await client.close();
  const app = express();
  app.use(clerkMiddleware(client));
  app.get('/', say);
  app.use((error, req, res, _next) => res.status(500).send(error.code));
  const { url, close } = await listening(app);
  t.after(close);
  assert.equal(await (await fetch(url)).text(), 'CLERK_CLOSED');
});
