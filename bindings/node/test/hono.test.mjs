import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/hono';
import { testMiddleware } from './support/middleware-tests.mjs';

async function listening(app) {
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
  if (!server.listening) await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

const sim = testMiddleware('hono', (client) => {
  const app = new Hono();
  const say = (c) => c.text(`${getAuth(c).status} ${c.get('clerkAuth').userId}`);
  app.use('*', clerkMiddleware(client));
  app.get('/', say);
  app.get('/private', requireAuth(), say);
  app.get('/admin', requireAuth({ role: 'org:admin' }), say);
  return listening(app);
});

test('hono: other middleware may replace c.req.raw', async (t) => {
  const app = new Hono();
  const client = sim.client();
  app.use('*', clerkMiddleware(client), bodyLimit({ maxSize: 1000 }));
  app.post('/', requireAuth(), async (c) => c.text(`${getAuth(c).userId} ${await c.req.text()}`));
  app.get('/wrong', async (c) => c.text((await client.authenticate(c.req).catch((error) => error)).name));
  const { url, close } = await listening(app);
  t.after(close);
  const headers = await sim.bearer({ user: 'user_1' });
  const body = new ReadableStream({
    start(stream) {
      stream.enqueue(new TextEncoder().encode('in chunks'));
      stream.close();
    },
  });
  const response = await fetch(url, { method: 'POST', headers, body, duplex: 'half' });
  assert.deepEqual([response.status, await response.text()], [200, 'user_1 in chunks']);
  assert.equal((await fetch(url, { method: 'POST', body: 'x' })).status, 401);
  // Hono's own request object has no `headers`.
  assert.equal(await (await fetch(`${url}/wrong`, { headers })).text(), 'TypeError');
});
