// An application with @clerk/fastify; after-fastify.mjs is the same with clerk-auth. docs/migrating.md compares them.
import Fastify from 'fastify';
import { clerkPlugin, getAuth } from '@clerk/fastify';

const app = Fastify();
app.register(clerkPlugin, { jwtKey: process.env.CLERK_JWT_KEY });

app.get('/', async (request) => {
  const { isAuthenticated, userId } = getAuth(request);
  return isAuthenticated ? `hello, ${userId}` : 'hello, guest';
});

app.get('/me', async (request, reply) => {
  const { isAuthenticated, userId, orgId } = getAuth(request);
  if (!isAuthenticated) return reply.code(401).send({ error: 'unauthenticated' });
  return { userId, orgId: orgId ?? null };
});

app.get('/invoices', async (request, reply) => {
  const auth = getAuth(request);
  if (!auth.isAuthenticated) return reply.code(401).send({ error: 'unauthenticated' });
  if (!auth.has({ permission: 'org:invoices:read' })) return reply.code(403).send({ error: 'forbidden' });
  return [];
});

await app.listen({ port: Number(process.env.PORT ?? 8080) });
console.log(app.server.address().port);
