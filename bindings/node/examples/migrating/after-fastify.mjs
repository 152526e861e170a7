// The application of before-fastify.mjs with clerk-auth.
import Fastify from 'fastify';
import { clerkPlugin, getAuth, requireAuth } from 'clerk-auth/fastify';

const app = Fastify();
app.register(clerkPlugin); // reads CLERK_SECRET_KEY, CLERK_PUBLISHABLE_KEY, CLERK_JWT_KEY

app.get('/', async (request) => {
  const { isAuthenticated, userId } = getAuth(request);
  return isAuthenticated ? `hello, ${userId}` : 'hello, guest';
});

app.get('/me', { preHandler: requireAuth() }, async (request) => {
  const { userId, orgId } = getAuth(request);
  return { userId, orgId };
});

app.get('/invoices', { preHandler: requireAuth({ permission: 'org:invoices:read' }) }, async () => []);

await app.listen({ port: Number(process.env.PORT ?? 8080) });
console.log(app.server.address().port);
