// A worker of bindings/go/stores: prints "ready", then for each line of tokens a line of outcomes.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { libraries } from './stores.mjs';

const { ClerkClient } = createRequire(import.meta.url)(process.env.STORES_CLERK_AUTH);
const THREADS = 16;
const job = JSON.parse(process.env.STORES_JOB);

const { store, close } = await libraries[job.driver === 'mysql' ? 'mysql2' : 'pg'](job.source, job.table);
const clerk = new ClerkClient({
  env: false,
  apiUrl: job.api_url,
  secretKey: 'sk_test_stores',
  timeoutMs: job.timeout_ms,
  rowCheckTtlS: 0,
  users: store,
});
await clerk.warmUp();
console.log('ready');

async function authenticate(token, index) {
  const auth = await clerk.authenticate({ headers: { authorization: `Bearer ${token}` } });
  const cause = auth.error?.cause ?? auth.error;
  const error = auth.isAuthenticated ? '' : `${auth.status} ${auth.reason} ${cause ?? ''}`;
  return { token: index, subject: auth.subject ?? '', key: auth.localUser?.key ?? '', error };
}

for await (const line of createInterface({ input: process.stdin })) {
  const tokens = JSON.parse(line);
  const outcomes = [];
  let next = 0;
  const thread = async () => {
    while (next < tokens.length) {
      const index = next++;
      outcomes.push(await authenticate(tokens[index], index));
    }
  };
  await Promise.all(Array.from({ length: THREADS }, thread));
  console.log(JSON.stringify(outcomes));
}
await clerk.close();
await close();
