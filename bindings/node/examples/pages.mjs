// An Express server whose pages stay signed in: a browser whose session cookie is stale is redirected to Clerk and back.
//
//     CLERK_SECRET_KEY=sk_test_… CLERK_PUBLISHABLE_KEY=pk_test_… node pages.mjs
import { once } from 'node:events';
import { createServer } from 'node:http';
import express from 'express';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/express';

const server = createServer().listen(process.env.PORT ?? 0, '127.0.0.1');
await once(server, 'listening');
const origin = `http://127.0.0.1:${server.address().port}`;

const app = express();
app.use(clerkMiddleware({ handshake: true, publicOrigin: [origin], authorizedParties: [origin] }));
app.get('/', requireAuth(), (req, res) => res.send(`hello, ${getAuth(req).userId}\n`));
server.on('request', app);
console.log(origin);
