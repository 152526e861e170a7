// Only compiled: `module: commonjs` ignores the package's `exports`.
import { Auth, ClerkClient } from 'clerk-auth';
import * as onExpress from 'clerk-auth/express';
import * as onFastify from 'clerk-auth/fastify';
import * as onHono from 'clerk-auth/hono';
import * as onHttp from 'clerk-auth/http';
import * as onKoa from 'clerk-auth/koa';
import { SqlUserStore } from 'clerk-auth/sql';
import { startTestClerk } from 'clerk-auth/testing';

const clerk = new ClerkClient({ env: false, secretKey: 'sk' });
onExpress.requireAuth({ role: 'org:admin' });
onHono.clerkMiddleware(clerk);
onKoa.clerkMiddleware();
onFastify.requireAuth();
onHttp.withAuth(clerk, (req, res) => {
  const auth: Auth = onHttp.getAuth(req);
  res.end(auth.userId);
});
void startTestClerk().then(({ options }) => options.apiUrl);
new SqlUserStore({ dialect: 'mysql', query: () => [] }).check();
// @ts-expect-error no such setting
onExpress.clerkMiddleware({ nonsense: true });
