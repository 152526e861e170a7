// Only compiled: valid and invalid uses of the types.
import http from 'node:http';
import type { WebhookEvent as TheirWebhookEvent } from '@clerk/backend/webhooks';
import express from 'express';
import Fastify from 'fastify';
import { Hono } from 'hono';
import Koa from 'koa';
import {
  Auth,
  ClerkClient,
  ClerkError,
  ConflictError,
  Reason,
  UserRow,
  UserStore,
  WebhookEvent,
  version,
} from 'clerk-auth';
import * as onExpress from 'clerk-auth/express';
import * as onFastify from 'clerk-auth/fastify';
import * as onHono from 'clerk-auth/hono';
import * as onHttp from 'clerk-auth/http';
import * as onKoa from 'clerk-auth/koa';
import { SqlUserStore } from 'clerk-auth/sql';
import { startTestClerk, userStoreTests } from 'clerk-auth/testing';

interface Account extends UserRow {
  key: number;
  plan: 'free' | 'paid';
}

declare const row: Account;
const users: UserStore<Account> = {
  columns: ['clerkId', 'email', 'isActive'],
  columnLengths: { email: 100 },
  findByKey: async (key) => (key === '1' ? row : null),
  findByClerkId: () => row,
  findByEmail: async () => [row],
  usernameTaken: async (username, exceptKey) => username === exceptKey,
  create: async ({ email, isActive }) => {
    if (email === 'x') throw new ConflictError('taken', { cause: isActive });
    return 7;
  },
  update: async () => {},
};

const clerk = new ClerkClient({
  env: false,
  secretKey: 'sk',
  authorizedParties: ['https://a.example'],
  rowCheckTtlS: 3,
  users,
});
const auth: Auth<Account> = await clerk.authenticate(new http.IncomingMessage(null as never), {
  signal: AbortSignal.timeout(5),
});
await clerk.authenticate(new Request('http://localhost/'));
await clerk.authenticate({ authorization: 'Bearer x' });
await clerk.authenticate({ headers: new Headers() });
const known: Auth<Account> | undefined = clerk.authenticateCached([['cookie', 'a=b']]);
const plan: 'free' | 'paid' | undefined = auth.localUser?.row?.plan;
const reason: Reason | null = auth.reason;
const ages: [number, number] | null = auth.factorVerificationAge;
const admin: boolean = auth.has({ role: 'org:admin', reverification: { level: 'first_factor', afterMinutes: 10 } });
if (auth.error instanceof ClerkError) console.log(auth.error.code, auth.error.cause, auth.error.retryAfterMs);
clerk.events
  .on('authFailed', ({ reason, tokenHash }) => console.log(reason, tokenHash))
  .on('log', ({ level, message }) => console.log(level, message));
const { outcome, httpStatus } = await clerk.webhooks.handle({ headers: {}, body: Buffer.of() });
await clerk.webhooks.handle(new Request('http://localhost/'));
await clerk.webhooks.handle(new http.IncomingMessage(null as never));
await clerk.warmUp({ signal: AbortSignal.timeout(5) });
const hits: number = clerk.stats().cacheHits;
await clerk.close();
const disposed: Promise<void> = clerk[Symbol.asyncDispose]();
const { has, challenge } = auth;
const line: string | null = has({ role: 'x' }) ? null : challenge('here');
await clerk.authenticate({}, { signal: null });
console.log(disposed, line, version, known, plan, reason, ages, admin, outcome, httpStatus, hits);

declare global {
  interface CustomJwtSessionClaims {
    metadata?: { plan: 'free' | 'paid' };
  }
}
if (auth.isAuthenticated) {
  const narrowed: [string, string, 'free' | 'paid' | undefined, null] = [
    auth.userId,
    auth.sessionClaims.sub,
    auth.sessionClaims.metadata?.plan,
    auth.reason,
  ];
  console.log(narrowed, auth.sessionClaims.other, auth.localUser?.row?.plan);
} else {
  const narrowed: [null, Reason] = [auth.userId, auth.reason];
  console.log(narrowed);
}
// @ts-expect-error the request may not be signed in
const unchecked: string = auth.userId;
const machines = new ClerkClient({ acceptsToken: ['session_token', 'm2m_token'] });
const either = await machines.authenticate({});
if (either.isAuthenticated) {
  if (either.tokenType === 'session_token') console.log(either.userId.length, either.sessionClaims.sub);
  // @ts-expect-error the subject may be a machine
  else console.log(either.userId.length, either.subject.length);
  // @ts-expect-error not accepted by this client
  if (either.tokenType === 'api_key') console.log(unchecked);
}
const account: Account | null | undefined = onExpress.getAuth<Account>(null as never).localUser?.row;
onExpress.requireAuth({ acceptsToken: ['api_key', 'any'], permission: 'org:a:b' });
// @ts-expect-error not a check
onExpress.requireAuth({ signInUrl: '/' });
// @ts-expect-error not an object of checks
onExpress.requireAuth('org:admin');
// @ts-expect-error not an option
onHono.clerkMiddleware(clerk, { nonsense: true });
await using test = await startTestClerk();
new ClerkClient({ ...test.options, users: new SqlUserStore({ dialect: 'sqlite', query: () => [] }) });
const narrowed = await new ClerkClient({ ...test.options, users }).authenticate({});
if (narrowed.isAuthenticated) console.log(narrowed.userId.length, narrowed.localUser?.row?.plan);
// Every event of Clerk's own package has a type.
const webhookType: WebhookEvent['type'] = null as never as TheirWebhookEvent['type'];
console.log(webhookType);
for (const { name, run } of userStoreTests(() => users)) console.log(name, run(), account);
// @ts-expect-error no such dialect
new SqlUserStore({ dialect: 'oracle', query: () => [] });

// @ts-expect-error no such setting
new ClerkClient({ secretkey: 'sk' });
// @ts-expect-error no such mode
new ClerkClient({ userMode: 'nonsense' });
// @ts-expect-error a store has six methods
new ClerkClient({ users: { findByKey: async () => null } });
// @ts-expect-error no such event
clerk.events.on('nonsense', () => {});
// @ts-expect-error read-only
auth.isAuthenticated = true;
// @ts-expect-error no such check
auth.has({ nonsense: 'x' });

const app = express();
app.use(onExpress.clerkMiddleware(clerk, { rejectInvalid: true }));
app.use(onExpress.clerkMiddleware((req) => (req.hostname === 'a.example' ? clerk : new ClerkClient())));
app.get('/', onExpress.requireAuth({ role: 'org:admin' }), (req, res) => res.send(onExpress.getAuth(req).userId));

const fastify = Fastify();
fastify.register(onFastify.clerkPlugin, { hookName: 'onRequest', secretKey: 'sk' });
fastify.get('/', { preHandler: onFastify.requireAuth() }, async (request) => onFastify.getAuth(request).userId);

const koa = new Koa();
koa.use(onKoa.clerkMiddleware({ secretKey: 'sk' })).use(onKoa.requireAuth());
koa.use((ctx) => void onKoa.getAuth<Account>(ctx).localUser?.row?.plan);

const hono = new Hono();
hono.use('*', onHono.clerkMiddleware());
hono.get('/', onHono.requireAuth(), (c) => c.text(onHono.getAuth(c).userId ?? c.get('clerkAuth').reason ?? ''));

http.createServer(
  onHttp.withAuth(undefined, (req, res) => onHttp.requireAuth(req, res) && res.end(onHttp.getAuth(req).userId)),
);
