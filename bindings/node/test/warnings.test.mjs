// What is heard without a listener: warnings of the process, and the diagnostics channel.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import diagnostics from 'node:diagnostics_channel';
import { after, beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ClerkClient } from 'clerk-auth';
import { startTestClerk } from 'clerk-auth/testing';
import { UserTable } from './support/user-table.mjs';

const clerk = await startTestClerk();
after(() => clerk.close());

let warnings = [];
process.on('warning', (warning) => {
  if (warning.name === 'ClerkWarning') warnings.push(warning.message);
});
beforeEach(() => (warnings = []));

async function ask(options, headers = clerk.headers(), times = 3) {
  const client = new ClerkClient({ ...clerk.options, ...options });
  for (let i = 0; i < times; i++) await client.authenticate({ headers });
  await turn();
  await client.close();
}

test('a store that fails is heard once, with its error', async () => {
  const users = new UserTable();
  users.before = () => {
    throw new Error('relation "account" does not exist: (email)=(ada@example.com)');
  };
  await ask({ users });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /store-error.*relation "account" does not exist: \(email\)=\(\[address\]\)/);
});

test('Clerk that cannot be reached, and a key that it rejects, are heard', async () => {
  await ask({ apiUrl: 'http://127.0.0.1:9', userMode: 'profile', timeoutMs: 300 });
  assert.ok(
    warnings.some((message) => /cannot be authenticated/.test(message)),
    warnings.join('\n'),
  );
});

test('a clock that is behind is heard', async () => {
  const ahead = Math.floor(Date.now() / 1000) + 600;
  await ask({}, clerk.headers({ claims: { iat: ahead, nbf: ahead, exp: ahead + 60 } }));
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /the clock of this machine may be behind/);
});

test('rejected tokens and requests without one are not heard, nor anything with a listener for the log', async () => {
  await ask({}, { authorization: 'Bearer forged' });
  await ask({}, {});
  const client = new ClerkClient({
    ...clerk.options,
    apiUrl: 'http://127.0.0.1:9',
    userMode: 'profile',
    timeoutMs: 200,
  });
  const lines = [];
  client.events.on('log', ({ message }) => lines.push(message));
  await client.authenticate({ headers: clerk.headers() });
  await turn();
  await client.close();
  assert.deepEqual(warnings, []);
  assert.ok(lines.length > 0);
});

test('the diagnostics channel has the result and the duration of every call', async () => {
  const messages = [];
  const listener = (message) => messages.push(message);
  diagnostics.subscribe('clerk-auth:authenticate', listener);
  const client = new ClerkClient(clerk.options);
  const headers = clerk.headers({ userId: 'user_ada' });
  for (const request of [{ headers }, { headers }, { headers: {} }]) await client.authenticate(request);
  await assert.rejects(client.authenticate(5), TypeError);
  diagnostics.unsubscribe('clerk-auth:authenticate', listener);
  await client.authenticate({ headers });
  assert.deepEqual(
    messages.map(({ auth, error }) => auth?.source ?? auth?.status ?? error.name),
    ['verified', 'cache', 'no-credentials', 'TypeError'],
  );
  assert.ok(messages.every((message) => message.client === client && message.durationMs >= 0));
  await client.close();
});

test('CLERK_LOG sends the lines of the log to standard error', () => {
  const program = `
    import { ClerkClient } from 'clerk-auth';
    import { startTestClerk } from 'clerk-auth/testing';
    const clerk = await startTestClerk();
    const client = new ClerkClient({ ...clerk.options, authorizedParties: ['https://other.example'] });
    await client.authenticate({ headers: clerk.headers({ azp: 'https://a.example' }) });
    await client.close();
    const unreachable = new ClerkClient({ env: false, secretKey: 'sk_test_x', apiUrl: 'http://127.0.0.1:9' });
    await unreachable.authenticate({ headers: clerk.headers() });
    await clerk.close();`;
  const linesWith = (level) =>
    spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
      env: { ...process.env, CLERK_LOG: level },
      cwd: fileURLToPath(new URL('.', import.meta.url)),
      encoding: 'utf8',
    }).stderr;
  const rejected = /^clerk-auth: debug: rejected: token-invalid-authorized-parties/m;
  assert.match(linesWith('debug'), rejected);
  assert.doesNotMatch(linesWith('info'), rejected);
  assert.match(linesWith('warn'), /^clerk-auth: warn: requests cannot be authenticated: jwk-failed-to-load/m);
  assert.doesNotMatch(linesWith('warn'), /ClerkWarning/);
  assert.equal(linesWith('off'), '');
  assert.match(linesWith('loud'), /CLERK_LOG/);
});
