// An application with @clerk/express; after.mjs is the same with clerk-auth. docs/migrating.md compares them.
import express from 'express';
import { clerkMiddleware, getAuth } from '@clerk/express';

const app = express();
app.use(clerkMiddleware({ jwtKey: process.env.CLERK_JWT_KEY }));

app.get('/', (req, res) => {
  const { isAuthenticated, userId } = getAuth(req);
  res.send(isAuthenticated ? `hello, ${userId}` : 'hello, guest');
});

app.get('/me', (req, res) => {
  const { isAuthenticated, userId, orgId } = getAuth(req);
  if (!isAuthenticated) return res.status(401).json({ error: 'unauthenticated' });
  res.json({ userId, orgId: orgId ?? null });
});

app.get('/invoices', (req, res) => {
  const auth = getAuth(req);
  if (!auth.isAuthenticated) return res.status(401).json({ error: 'unauthenticated' });
  if (!auth.has({ permission: 'org:invoices:read' })) return res.status(403).json({ error: 'forbidden' });
  res.json([]);
});

const server = app.listen(process.env.PORT ?? 8080, () => console.log(server.address().port));
