import { once } from 'node:events';
import Koa from 'koa';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/koa';
import { testMiddleware } from './support/middleware-tests.mjs';

testMiddleware('koa', async (client) => {
  const app = new Koa();
  const guards = { '/private': requireAuth(), '/admin': requireAuth({ role: 'org:admin' }) };
  app.use(clerkMiddleware(client));
  app.use((ctx, next) => (guards[ctx.path] ? guards[ctx.path](ctx, next) : next()));
  app.use((ctx) => {
    ctx.body = `${getAuth(ctx).status} ${ctx.state.auth.userId}`;
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
});
