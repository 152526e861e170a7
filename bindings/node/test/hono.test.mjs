import { once } from 'node:events';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/hono';
import { behavesAsAll } from './support/behaviour.mjs';

behavesAsAll('hono', async (client) => {
  const app = new Hono();
  const say = (c) => c.text(`${getAuth(c).status} ${c.get('clerkAuth').userId}`);
  app.use('*', clerkMiddleware(client));
  app.get('/', say);
  app.get('/private', requireAuth(), say);
  app.get('/admin', requireAuth({ role: 'org:admin' }), say);
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' });
  if (!server.listening) await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
});
