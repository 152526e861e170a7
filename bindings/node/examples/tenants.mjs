// Several sites on one server, each with its own authorized parties: the function chooses the client of a request.
import express from 'express';
import { ClerkClient } from 'clerk-auth';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/express';

// One client for each site, made once: a client has its own cache and keys. Never one for any host that a request names.
const sites = new Map(
  ['shop.example.com', 'admin.example.com'].map((host) => [
    host,
    new ClerkClient({ authorizedParties: [`https://${host}`] }),
  ]),
);

const app = express();
app.use((req, res, next) => (sites.has(req.hostname) ? next() : res.sendStatus(421)));
app.use(clerkMiddleware((req) => sites.get(req.hostname)));
app.get('/', requireAuth(), (req, res) => res.send(`${getAuth(req).userId} at ${req.hostname}`));

const server = app.listen(process.env.PORT ?? 8080, () => console.log(server.address().port));
