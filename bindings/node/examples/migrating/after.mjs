// The application of before.mjs with clerk-auth.
import express from 'express';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/express';

const app = express();
app.use(clerkMiddleware()); // reads CLERK_SECRET_KEY, CLERK_PUBLISHABLE_KEY, CLERK_JWT_KEY

app.get('/', (req, res) => {
  const { isAuthenticated, userId } = getAuth(req);
  res.send(isAuthenticated ? `hello, ${userId}` : 'hello, guest');
});

app.get('/me', requireAuth(), (req, res) => {
  const { userId, orgId } = getAuth(req);
  res.json({ userId, orgId });
});

app.get('/invoices', requireAuth({ permission: 'org:invoices:read' }), (req, res) => {
  res.json([]);
});

const server = app.listen(process.env.PORT ?? 8080, () => console.log(server.address().port));
