import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import express from 'express';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/express';
import { behavesAsAll } from './support/behaviour.mjs';

async function listening(app) {
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

const say = (req, res) => res.type('text').send(`${getAuth(req).status} ${getAuth(req).userId}`);

const sim = behavesAsAll('express', (client) => {
  const app = express();
  app.use(clerkMiddleware(client));
  app.get('/', say);
  app.get('/private', requireAuth(), say);
  app.get('/admin', requireAuth({ role: 'org:admin' }), say);
  return listening(app);
});

test('settings instead of a client, and a middleware that was forgotten', async (t) => {
  const app = express();
  app.get('/forgotten', requireAuth(), say);
  app.use(clerkMiddleware(sim.settings()));
  app.get('/', say);
  app.use((error, req, res, next) => res.status(500).send(error.code));
  const { url, close } = await listening(app);
  t.after(close);
  assert.equal(await (await fetch(url, { headers: await sim.bearer() })).text(), 'signed-in user_1');
  const forgotten = await fetch(`${url}/forgotten`, { headers: await sim.bearer() });
  assert.deepEqual([forgotten.status, await forgotten.text()], [500, 'CLERK_NO_MIDDLEWARE']);
  assert.throws(() => getAuth({}), { code: 'CLERK_NO_MIDDLEWARE' });
});

test('without a client and without settings all share one, made from the environment', async (t) => {
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

test('a closed client lets nobody through', async (t) => {
  const client = sim.client();
  await client.close();
  const app = express();
  app.use(clerkMiddleware(client));
  app.get('/', say);
  app.use((error, req, res, next) => res.status(500).send(error.code));
  const { url, close } = await listening(app);
  t.after(close);
  assert.equal(await (await fetch(url)).text(), 'CLERK_CLOSED');
});
