// An Express server with a user table, roles, events and webhooks.
//
//     CLERK_SECRET_KEY=sk_test_… CLERK_WEBHOOK_SIGNING_SECRET=whsec_… node server.mjs
import express from 'express';
import { ClerkClient } from 'clerk-auth';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/express';
import { Accounts } from './accounts.mjs';

const clerk = new ClerkClient({ users: new Accounts() });
clerk.events.on('userCreated', ({ userKey }) => console.log(`created user ${userKey}`));
clerk.events.on('authFailed', ({ reason }) => console.log(`rejected: ${reason}`));

const app = express();

// Before any body parser: Clerk's signature covers the raw bytes.
app.post('/webhooks/clerk', async (req, res) => {
  const { httpStatus, error } = await clerk.webhooks.handle(req);
  if (error) console.error(error.message);
  res.sendStatus(httpStatus);
});

app.use(clerkMiddleware(clerk));
app.get('/', (req, res) => res.send(`hello, ${getAuth(req).userId ?? 'guest'}\n`));
app.get('/me', requireAuth(), (req, res) => res.json(getAuth(req).localUser));
app.get('/admin', requireAuth({ role: 'org:admin' }), (req, res) => res.send('welcome\n'));

const server = app.listen(process.env.PORT ?? 8080, () => console.log(server.address().port));
process.once('SIGTERM', () => server.close(() => clerk.close()));
