// An Express server whose users are in a table of PostgreSQL.
//
//     DATABASE_URL=postgres://… CLERK_SECRET_KEY=sk_test_… node postgres.mjs
import express from 'express';
import pg from 'pg';
import { ClerkClient } from 'clerk-auth';
import { clerkMiddleware, getAuth, requireAuth } from 'clerk-auth/express';
import { SqlUserStore } from 'clerk-auth/sql';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
// A server that restarts ends idle connections: without a listener that would end this process.
pool.on('error', (error) => console.error(error.message));
const users = new SqlUserStore({
  dialect: 'postgresql',
  table: 'account',
  query: (sql, values) => pool.query(sql, values),
});
await users.createTable(); // or a migration of your own, with the same columns
await users.check(); // fails at the start if the table cannot be used
const clerk = new ClerkClient({ users });

const app = express();
app.use(clerkMiddleware(clerk));
app.get('/me', requireAuth(), (req, res) => res.json(getAuth(req).localUser.row));
app.listen(process.env.PORT ?? 8080);
