// The examples that docs/migrating.md and the README refer to.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startTestClerk } from 'clerk-auth/testing';

const clerk = await startTestClerk();
after(() => clerk.close());

/** Starts an example that prints its port. Returns a function that requests a path. */
async function serve(t, file, { args = [], onLine } = {}) {
  const { secretKey, apiUrl, jwtKey } = clerk.options;
  const child = spawn(process.execPath, [...args, fileURLToPath(new URL(`../examples/${file}`, import.meta.url))], {
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      CLERK_SECRET_KEY: secretKey,
      CLERK_PUBLISHABLE_KEY: `pk_test_${Buffer.from('clerk.test.example$').toString('base64').replace(/=*$/, '')}`,
      CLERK_API_URL: apiUrl,
      CLERK_JWT_KEY: jwtKey,
      CLERK_TELEMETRY_DISABLED: '1',
    },
    stdio: ['ignore', 'pipe', onLine === undefined ? 'inherit' : 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  if (onLine !== undefined) createInterface({ input: child.stderr }).on('line', onLine);
  const { value: port } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  // Not fetch, which sends no Host of ours.
  return (path, headers = {}) =>
    new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port, path, headers, agent: false }, async (response) => {
        let body = '';
        for await (const chunk of response.setEncoding('utf8')) body += chunk;
        resolve([response.statusCode, body.trim()]);
      });
      request.on('error', reject);
    });
}

for (const [framework, suffix] of [
  ['express', ''],
  ['fastify', '-fastify'],
])
  test(`migrated application responds as the one with @clerk/${framework}`, async (t) => {
    const before = await serve(t, `migrating/before${suffix}.mjs`);
    const migrated = await serve(t, `migrating/after${suffix}.mjs`);
    const ada = clerk.headers({ userId: 'user_ada' });
    const reader = { userId: 'user_eve', orgId: 'org_1', orgRole: 'org:member', orgPermissions: ['org:invoices:read'] };
    const requests = [
      ['/', {}],
      ['/', ada],
      ['/me', ada],
      ['/me', clerk.headers(reader)],
      ['/invoices', clerk.headers(reader)],
      ['/me', {}],
      ['/me', { authorization: 'Bearer forged' }],
      ['/invoices', ada],
      ['/', { authorization: `Bearer ${clerk.token({ expiresInS: -60 })}` }],
    ];
    const seen = [];
    for (const [path, headers] of requests) {
      const [theirs, ours] = [await before(path, headers), await migrated(path, headers)];
      assert.equal(ours[0], theirs[0], `${path}: ${ours} and ${theirs}`);
      // Only the bodies of errors differ.
      if (ours[0] === 200) assert.equal(ours[1], theirs[1]);
      seen.push(ours[0]);
    }
    assert.deepEqual(seen, [200, 200, 200, 200, 200, 401, 401, 403, 200]);
  });

test('metrics for Prometheus count the results, and each is a span of OpenTelemetry', async (t) => {
  const spans = [];
  const sdk = new URL('fixtures/spans.mjs', import.meta.url).href;
  const onLine = (line) => line.startsWith('{') && spans.push(JSON.parse(line));
  const ask = await serve(t, 'metrics.mjs', { args: ['--import', sdk], onLine });
  const headers = clerk.headers({ userId: 'user_ada' });
  assert.deepEqual(await ask('/', headers), [200, 'user_ada']);
  await ask('/', headers);
  assert.equal((await ask('/'))[0], 401);
  const [, metrics] = await ask('/metrics');
  for (const [outcome, count] of Object.entries({ verified: 1, cache: 1, 'session-token-missing': 1 }))
    assert.ok(metrics.includes(`clerk_authentication_seconds_count{outcome="${outcome}"} ${count}\n`), metrics);
  assert.match(metrics, /^clerk_authentication_seconds_bucket\{le="2.5",outcome="cache"\} 1$/m);
  assert.match(metrics, /^clerk_auth_cache_hits_total 1$/m);
  for (let tries = 0; spans.length < 3 && tries < 100; tries++) await setTimeout(20);
  const outcomes = ['verified', 'cache', 'session-token-missing'];
  assert.deepEqual(
    spans,
    outcomes.map((outcome) => ({ name: 'clerk.authenticate', outcome, isError: false })),
  );
});

test('each site accepts the tokens of its own authorized party', async (t) => {
  const ask = await serve(t, 'tenants.mjs');
  const from = (host, azp) => ask('/', { ...clerk.headers({ userId: 'user_ada', claims: { azp } }), host });
  const [shop, admin] = ['shop.example.com', 'admin.example.com'];
  // Twice: a result that one client has cached is none of the other's.
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(await from(shop, `https://${shop}`), [200, `user_ada at ${shop}`]);
    assert.deepEqual(await from(admin, `https://${admin}`), [200, `user_ada at ${admin}`]);
    const wrong = [401, '{"error":"token-invalid-authorized-parties"}'];
    assert.deepEqual(await from(shop, `https://${admin}`), wrong);
    assert.deepEqual(await from(admin, `https://${shop}`), wrong);
    assert.deepEqual(await from(admin, undefined), wrong);
    assert.equal((await from('other.example.com', `https://${shop}`))[0], 421);
  }
  const { authorization } = clerk.headers({ userId: 'user_ada', claims: { azp: `https://${shop}` } });
  assert.equal((await ask('/', { authorization, host: shop }))[0], 200);
  assert.equal((await ask('/', { authorization, host: admin }))[0], 401);
});
