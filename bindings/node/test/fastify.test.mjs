import assert from 'node:assert/strict';
import { test } from 'node:test';
import Fastify from 'fastify';
import { clerkPlugin, getAuth, requireAuth } from 'clerk-auth/fastify';
import { testMiddleware } from './support/middleware-tests.mjs';

const say = async (request) => `${getAuth(request).status} ${getAuth(request).userId}`;

const sim = testMiddleware('fastify', async (client) => {
  const app = Fastify();
  app.register(clerkPlugin, { client });
  app.get('/', say);
  app.get('/private', { preHandler: requireAuth() }, say);
  app.get('/admin', { preHandler: requireAuth({ role: 'org:admin' }) }, say);
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  return { url, close: () => app.close() };
});

test('fastify: settings instead of a client, hookName, invalid options', async () => {
  const app = Fastify();
  app.register(clerkPlugin, { ...sim.settings(), hookName: 'onRequest' });
  app.get('/', say);
  const response = await app.inject({ url: '/', headers: await sim.bearer() });
  assert.equal(response.payload, 'signed-in user_1');
  await app.close();
  for (const options of [{ hookName: 'onSend' }, { client: {} }, sim.client(), Promise.resolve({})]) {
    await assert.rejects(async () => {
      const wrong = Fastify();
      wrong.register(clerkPlugin, options);
      await wrong.ready();
    }, TypeError);
  }
});
