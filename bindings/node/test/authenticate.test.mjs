// Authentication: the four statuses, their properties, deadlines and threads.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { beforeEach, test } from 'node:test';
import { ClerkError } from 'clerk-auth';
import { run } from './support/run.mjs';
import { ADA, startSim } from './support/sim.mjs';

const sim = await startSim('--https');
beforeEach(() => sim.reset());

const ORG = { id: 'org_1', slug: 'acme', role: 'admin', permissions: ['org:invoices:create', 'org:invoices:read'] };

test('signed in: the first call verifies, the second call hits the cache', async () => {
  const clerk = sim.client();
  const request = await sim.bearer({
    user: 'user_1',
    sid: 'sess_1',
    azp: 'https://app.example.com',
    claims: { fva: [3, -1], role: 'x', act: { sub: 'user_admin' } },
  });
  const first = await clerk.authenticate(request);
  assert.equal(first.source, 'verified');
  assert.equal(await sim.count('/jwks'), 1);
  const auth = await clerk.authenticate(request);
  assert.equal(auth.source, 'cache');
  assert.equal(auth.isAuthenticated, true);
  assert.equal(auth.status, 'signed-in');
  assert.equal(auth.httpStatus, 200);
  assert.equal(auth.reason, null);
  assert.equal(auth.category, null);
  assert.equal(auth.error, null);
  assert.equal(auth.tokenType, 'session_token');
  assert.equal(auth.userId, 'user_1');
  assert.equal(auth.subject, 'user_1');
  assert.equal(auth.sessionId, 'sess_1');
  assert.equal(auth.sessionClaims.sub, 'user_1');
  assert.equal(auth.sessionClaims.azp, 'https://app.example.com');
  assert.deepEqual(auth.factorVerificationAge, [3, -1]);
  assert.deepEqual(auth.actor, { sub: 'user_admin' });
  assert.equal(auth.orgId, null);
  assert.equal(auth.orgPermissions, null);
  assert.equal(auth.localUser, null);
  assert.equal(auth.challenge(), null);
  assert.ok(auth.expiresAtMs > Date.now());
  assert.equal(await sim.count(), 1);
});

test('organization: role, permissions and has()', async () => {
  const clerk = sim.client();
  const auth = await clerk.authenticate(await sim.bearer({ user: 'user_1', org: ORG, claims: { fva: [1, 20] } }));
  assert.equal(auth.orgId, 'org_1');
  assert.equal(auth.orgSlug, 'acme');
  assert.equal(auth.orgRole, 'org:admin');
  assert.deepEqual(auth.orgPermissions.sort(), ORG.permissions);
  assert.equal(auth.has({ role: 'org:admin' }), true);
  assert.equal(auth.has({ role: 'admin' }), true);
  assert.equal(auth.has({ role: 'org:member' }), false);
  assert.equal(auth.has({ permission: 'org:invoices:create' }), true);
  assert.equal(auth.has({ permission: 'org:invoices:delete' }), false);
  assert.equal(auth.has({ role: 'org:admin', permission: 'org:invoices:read' }), true);
  assert.equal(auth.has({ role: 'org:admin', permission: 'org:invoices:delete' }), false);
  assert.equal(auth.has({ reverification: { level: 'first_factor', afterMinutes: 10 } }), true);
  assert.equal(auth.has({ reverification: { level: 'second_factor', afterMinutes: 10 } }), false);
  assert.equal(auth.has({ reverification: 'strict' }), false);
  const never = await clerk.authenticate(await sim.bearer({ user: 'user_1', claims: { fva: [-1, 1] } }));
  for (const level of ['first_factor', 'second_factor', 'multi_factor'])
    assert.equal(never.has({ reverification: { level, afterMinutes: 10 } }), false, level);
  for (const invalid of [
    {},
    { unknownCheck: 'x' },
    { role: undefined },
    { role: 1 },
    { role: null },
    { toString: 'x' },
  ]) {
    assert.equal(auth.has(invalid), false, inspect(invalid));
  }
  assert.throws(() => auth.has('org:admin'), TypeError);
});

test('signed out: invalid tokens have a reason and a challenge', async () => {
  const clerk = sim.client({ authorizedParties: ['https://app.example.com'] });
  const cases = [
    [{ user: 'user_1', spoil: 'expired', azp: 'https://app.example.com' }, 'token-expired'],
    [{ user: 'user_1', spoil: 'tampered', azp: 'https://app.example.com' }, 'token-invalid-signature'],
    [{ user: 'user_1', azp: 'https://evil.example.com' }, 'token-invalid-authorized-parties'],
    [{ user: 'user_1', spoil: 'alg-none' }, 'token-invalid'],
  ];
  for (const [spec, reason] of cases) {
    const auth = await clerk.authenticate(await sim.bearer(spec));
    assert.equal(auth.isAuthenticated, false);
    assert.equal(auth.status, 'signed-out');
    assert.equal(auth.reason, reason);
    assert.equal(auth.category, 'invalid_token');
    assert.equal(auth.httpStatus, 401);
    assert.match(auth.challenge(), /^Bearer error="invalid_token"/);
    assert.match(auth.challenge('here'), /realm="here"/);
    assert.equal(auth.userId, null);
    assert.equal(auth.sessionClaims, null);
    assert.equal(auth.has({ role: 'org:admin' }), false);
  }
});

test('no credentials: status, reason and challenge', async () => {
  const clerk = sim.client();
  for (const request of [{}, { headers: {} }, { authorization: 'Basic eDp5' }, new Headers(), { cookie: 'a=b' }]) {
    const auth = await clerk.authenticate(request);
    assert.equal(auth.status, 'no-credentials');
    assert.equal(auth.reason, 'session-token-missing');
    assert.equal(auth.category, 'no_credentials');
    assert.equal(auth.httpStatus, 401);
    assert.equal(auth.challenge(), 'Bearer');
    assert.equal(clerk.authenticateCached(request).status, 'no-credentials');
  }
  assert.equal(await sim.count(), 0);
});

test('unavailable: an outage does not make a token invalid', async () => {
  const clerk = sim.client({ timeoutMs: 400 });
  const request = await sim.bearer();
  await sim.down(true);
  const auth = await clerk.authenticate(request);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.isAuthenticated, false);
  assert.equal(auth.reason, 'jwk-failed-to-load');
  assert.equal(auth.category, 'unavailable');
  assert.equal(auth.httpStatus, 503);
  assert.ok(auth.error instanceof ClerkError);
  assert.equal(auth.error.code, 'CLERK_UNAVAILABLE');
  assert.equal(auth.error.reason, 'jwk-failed-to-load');
  assert.equal(clerk.authenticateCached(request), undefined);
});

test('unavailable: an unknown key or a bad signature during an outage', async () => {
  const now = Date.now();
  const clerk = sim.client({ timeoutMs: 400, clock: { nowMs: now } });
  await clerk.warmUp();
  const requests = [
    await sim.bearer({ user: 'user_1', spoil: 'tampered' }),
    await sim.bearer({ user: 'user_1', key: 'k2' }),
  ];
  await sim.down(true);
  clerk.setTime(now + 11_000);
  for (const request of requests) {
    const auth = await clerk.authenticate(request);
    assert.deepEqual([auth.status, auth.reason], ['unavailable', 'jwk-failed-to-load']);
  }
});

test('unavailable: 429 from Clerk sets retryAfterMs', async () => {
  const clerk = sim.client({ userMode: 'profile', timeoutMs: 500 });
  await sim.user('user_1', ADA);
  await sim.faults({ path: '/users/*', status: 429, headers: { 'Retry-After': '7' } });
  const auth = await clerk.authenticate(await sim.bearer());
  assert.equal(auth.status, 'unavailable');
  assert.ok(auth.retryAfterMs > 5000 && auth.retryAfterMs <= 7000, String(auth.retryAfterMs));
  assert.equal(auth.error.httpStatus, 429);
  assert.equal(auth.error.retryAfterMs, auth.retryAfterMs);
});

test('misconfigured: a rejected secret key returns 500', async () => {
  await sim.reset({ secret_keys: ['sk_test_another'] });
  const clerk = sim.client({ userMode: 'profile' });
  const auth = await clerk.authenticate(await sim.bearer());
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.reason, 'secret-key-invalid');
  assert.equal(auth.category, 'misconfigured');
  assert.equal(auth.httpStatus, 500);
  assert.doesNotMatch(inspect(auth.error), /sk_test_sim/);
});

test('profile mode: profile of the user', async () => {
  const clerk = sim.client({ userMode: 'profile' });
  await sim.user('user_1', ADA);
  const auth = await clerk.authenticate(await sim.bearer());
  assert.equal(auth.profile.email, 'ada@example.com');
  assert.equal(auth.profile.firstName, 'Ada');
  assert.equal(auth.localUser, null);
});

test('claims: no member reaches a prototype; a machine token has no actor', async () => {
  const clerk = sim.client({ acceptsToken: 'any' });
  const claims = JSON.parse(
    '{"act": {"sub": "user_2"}, "x": {"__proto__": {"isAdmin": true}}, "__proto__": {"isAdmin": true}}',
  );
  const session = await clerk.authenticate(await sim.bearer({ user: 'user_1', claims }));
  assert.deepEqual(session.actor, { sub: 'user_2' });
  for (const value of [session.sessionClaims, session.sessionClaims.x]) {
    assert.equal(Object.hasOwn(value, '__proto__'), false);
    assert.equal(Object.assign({}, value).isAdmin, undefined);
  }
  const machine = await clerk.authenticate(await sim.bearer({ kind: 'm2m-jwt', user: 'mch_1', claims }));
  assert.equal(machine.tokenType, 'm2m_token');
  assert.equal(machine.actor, null);
});

test('machine tokens: type, scopes, client and token id', async () => {
  const clerk = sim.client({ acceptsToken: 'any' });
  const auth = await clerk.authenticate(
    await sim.bearer({ kind: 'oauth-jwt', user: 'user_1', client_id: 'client_1', scopes: ['email', 'profile'] }),
  );
  assert.equal(auth.tokenType, 'oauth_token');
  assert.deepEqual(auth.scopes, ['email', 'profile']);
  assert.equal(auth.clientId, 'client_1');
  assert.equal(auth.tokenId, auth.sessionClaims.jti);
  assert.match(auth.tokenId, /./);
  assert.equal(auth.has({ role: 'org:admin' }), false);
  const strict = sim.client();
  assert.equal(
    (await strict.authenticate(await sim.bearer({ kind: 'oauth-jwt', user: 'user_1' }))).reason,
    'token-type-not-supported',
  );
});

test('verifyToken() makes no user request', async () => {
  const clerk = sim.client({ userMode: 'profile' });
  const auth = await clerk.verifyToken(await sim.token());
  assert.equal(auth.userId, 'user_1');
  assert.equal(await sim.count('/users/{id}'), 0);
  assert.equal((await clerk.verifyToken('nonsense')).reason, 'token-invalid');
});

test('invalidate methods remove the cached result', async () => {
  const clerk = sim.client();
  const token = await sim.token({ user: 'user_1', sid: 'sess_1' });
  const request = { authorization: `Bearer ${token}` };
  const invalidate = [
    () => clerk.invalidateToken(token),
    () => clerk.invalidateUser('user_1'),
    () => clerk.invalidateSession('sess_1'),
    () => clerk.invalidateAll(),
  ];
  await clerk.warmUp();
  for (const call of invalidate) {
    call();
    assert.equal((await clerk.authenticate(request)).source, 'verified');
    assert.equal((await clerk.authenticate(request)).source, 'cache');
  }
  const stats = clerk.stats();
  assert.equal(stats.cacheHits, 4);
  assert.equal(stats.cacheMisses, 4);
  assert.equal(stats.jwksFetches, 1);
  assert.equal(stats.cachedTokens, 1);
  assert.ok(stats.jwksAgeMs >= 0);
});

test('warmUp() rejects during an outage', async () => {
  const clerk = sim.client({ timeoutMs: 300 });
  await sim.down(true);
  await assert.rejects(clerk.warmUp(), (error) => error instanceof ClerkError && error.code === 'CLERK_API');
});

test('abort: the promise rejects at once, the call continues', async () => {
  const clerk = sim.client();
  const request = await sim.bearer();
  await assert.rejects(clerk.authenticate(request, { signal: AbortSignal.abort(new Error('before')) }), /before/);
  await sim.faults({ path: '/jwks', delay_ms: 300, times: 1 });
  const controller = new AbortController();
  const began = performance.now();
  const call = clerk.authenticate(request, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
  assert.ok(performance.now() - began < 250);
  // The call continued, and its result is cached.
  assert.equal((await clerk.authenticate(request)).userId, 'user_1');
  assert.equal(await sim.count('/jwks'), 1);
  const second = await clerk.authenticate(request, { signal: new AbortController().signal });
  assert.equal(second.source, 'cache');
});

test('timeoutMs limits a call', async () => {
  const clerk = sim.client({ timeoutMs: 200 });
  await sim.faults({ path: '/jwks', delay_ms: 5000 });
  const began = performance.now();
  const auth = await clerk.authenticate(await sim.bearer());
  assert.equal(auth.status, 'unavailable');
  assert.ok(performance.now() - began < 1000);
});

test('TLS: caPem is trusted, an unknown authority is not', async () => {
  const { pem } = await sim.admin('GET', '/ca');
  const request = await sim.bearer();
  const clerk = sim.client({ apiUrl: sim.httpsUrl, caPem: pem });
  assert.equal((await clerk.authenticate(request)).userId, 'user_1');
  // Node's own OpenSSL still works in the same process.
  assert.equal(createHash('sha256').update('').digest('hex').slice(0, 8), 'e3b0c442');
  const untrusting = sim.client({ apiUrl: sim.httpsUrl, timeoutMs: 1000 });
  const auth = await untrusting.authenticate(request);
  assert.equal(auth.status, 'unavailable');
  assert.equal(auth.reason, 'jwk-failed-to-load');
});

test('calls that wait for Clerk do not block file and DNS calls', async () => {
  const clerk = sim.client({ timeoutMs: 3000 });
  const requests = await Promise.all(Array.from({ length: 12 }, () => sim.bearer()));
  await sim.faults({ path: '/jwks', delay_ms: 1500, times: 1 });
  const began = performance.now();
  const calls = requests.map((request) => clerk.authenticate(request));
  await Promise.all([readFile(new URL(import.meta.url)), lookup('localhost')]);
  assert.ok(performance.now() - began < 1000);
  for (const auth of await Promise.all(calls)) assert.equal(auth.status, 'signed-in');
});

test('400 concurrent calls use at most 64 threads', async () => {
  const clerk = sim.client();
  const requests = await Promise.all(Array.from({ length: 20 }, (_, i) => sim.bearer({ user: `user_${i}` })));
  await sim.faults({ path: '/jwks', delay_ms: 300, times: 1 });
  const threads = () => readdirSync('/proc/self/task').length;
  const before = threads();
  const calls = Array.from({ length: 400 }, (_, i) => clerk.authenticate(requests[i % 20]));
  assert.ok(threads() > before && threads() <= before + 64, `${before}, then ${threads()}`);
  const auths = await Promise.all(calls);
  for (const [i, auth] of auths.entries()) assert.equal(auth.userId, `user_${i % 20}`);
  assert.equal(await sim.count('/jwks'), 1);
});

test('inspect() and JSON contain no token and no secret key', async () => {
  const clerk = sim.client();
  const request = await sim.bearer();
  const auth = await clerk.authenticate(request);
  const token = request.authorization.slice(7);
  for (const string of [inspect(auth), JSON.stringify(auth), inspect(clerk, { depth: 5 })]) {
    assert.ok(!string.includes(token.split('.')[2]), string);
    assert.ok(!string.includes('sk_test_sim'), string);
  }
  assert.equal(JSON.parse(JSON.stringify(auth)).userId, 'user_1');
});

test('has() and challenge() work when destructured', async () => {
  const clerk = sim.client();
  const { has } = await clerk.authenticate(await sim.bearer({ user: 'user_1', org: ORG }));
  assert.deepEqual([has({ role: 'org:admin' }), has({ role: 'org:member' })], [true, false]);
  const { challenge } = await clerk.authenticate({});
  assert.equal(challenge('here'), 'Bearer realm="here"');
  assert.throws(() => challenge(5), { name: 'TypeError', message: /^realm must be a string/ });
  assert.throws(() => challenge('a\r\nb'), { name: 'TypeError', message: /^realm/ });
});

test('no thread: calls are unavailable and do not reject', async () => {
  const { authorization } = await sim.bearer();
  await sim.user('user_1', ADA);
  const { code, output } = await run('no-threads.mjs', JSON.stringify(sim.settings()), authorization);
  assert.equal(
    output,
    [
      'unavailable server-error unavailable 503 null null CLERK_UNAVAILABLE: no worker thread available before the deadline',
      'unavailable server-error unavailable 503 null null CLERK_UNAVAILABLE: no worker thread available before the deadline',
      'warmUp: CLERK_UNAVAILABLE',
      'signed-in user_1',
      'signed-in cache 1 findByKey',
      'unavailable',
      '',
    ].join('\n'),
  );
  assert.equal(code, 0);
});

test('no thread: a call queued for longer than timeoutMs is not started', async () => {
  const timeoutMs = 250;
  const tokens = await Promise.all(Array.from({ length: 10 }, (_, i) => sim.token({ user: `user_${i}` })));
  for (let i = 0; i < 10; i++) await sim.user(`user_${i}`, {});
  await sim.faults({ path: '/users/*', delay_ms: 200 });
  const { code, output } = await run('queue.mjs', JSON.stringify(sim.settings({ timeoutMs })), JSON.stringify(tokens));
  assert.equal(code, 0);
  const { ms, ended } = JSON.parse(output);
  assert.deepEqual(ended.slice(3), Array(7).fill('unavailable 503'));
  assert.ok(ms < 6 * timeoutMs, `${ms} ms`);
});

test('csrf: method, host, origin and sec-fetch-site of every kind of request', async () => {
  const clerk = sim.client({ csrf: 'check', authorizedParties: ['https://app.example.com'] });
  const cookie = `__session=${await sim.token({ user: 'user_1', azp: 'https://app.example.com' })}`;
  const pairs = (extra) => [['Cookie', cookie], ['Host', 'shop.example.com'], ...extra];
  const kinds = {
    object: (method, extra) => {
      const headers = {};
      for (const [name, value] of pairs(extra)) headers[name] = name in headers ? [headers[name], value].flat() : value;
      return { method, headers };
    },
    pairs: (method, extra) => ({ method, headers: pairs(extra) }),
    node: (method, extra) => ({
      method,
      headers: Object.fromEntries(pairs(extra).map(([name, value]) => [name.toLowerCase(), value])),
      rawHeaders: pairs(extra).flat(),
    }),
    fetch: (method, extra) => {
      const request = new Request('https://shop.example.com/x', { method });
      const headers = new Headers([['cookie', cookie], ...extra]);
      return { url: request.url, method, headers };
    },
  };
  const own = ['Origin', 'https://shop.example.com'];
  for (const [kind, make] of Object.entries(kinds)) {
    for (const [method, extra, passes] of [
      ['GET', [], true],
      ['POST', [], false],
      ['POST', [own], true],
      ['DELETE', [['Origin', 'https://app.example.com']], true],
      ['POST', [['Origin', 'https://evil.example.com']], false],
      ['POST', [own, own], false],
      ['POST', [['Sec-Fetch-Site', 'same-origin']], true],
      ['POST', [['Sec-Fetch-Site', 'cross-site']], false],
      [
        'POST',
        [
          ['Sec-Fetch-Site', 'none'],
          ['Sec-Fetch-Site', 'none'],
        ],
        false,
      ],
    ]) {
      const auth = await clerk.authenticate(make(method, extra));
      assert.equal(auth.reason, passes ? null : 'csrf-failed', `${kind} ${method} ${extra}`);
      assert.equal(auth.httpStatus, passes ? 200 : 403);
    }
  }
});

test('token hash: on every result with a token', async () => {
  const clerk = sim.client();
  const refused = await clerk.authenticate({ authorization: 'Bearer abc' });
  assert.equal(refused.tokenHash, `clerk:auth:${createHash('sha256').update('abc').digest('hex')}`);
  assert.match((await clerk.authenticate(await sim.bearer())).tokenHash, /^clerk:auth:[0-9a-f]{64}$/);
  assert.equal((await clerk.authenticate({})).tokenHash, null);
});

test('credential: found without verification, event or cache entry', async () => {
  const clerk = sim.client();
  let events = 0;
  clerk.events.on('authFailed', () => events++);
  for (const [headers, token, source] of [
    [{}, null, 'none'],
    [{ cookie: 'a=b' }, null, 'none'],
    [{ authorization: 'Basic abc' }, null, 'none'],
    [{ cookie: 'a=b; __session=tok' }, 'tok', 'cookie'],
    [{ cookie: '__session=tok', authorization: 'Bearer other' }, 'other', 'header'],
    [{ authorization: 'Bearer' }, null, 'header'],
    [
      [
        ['Authorization', 'Bearer a'],
        ['authorization', 'Bearer b'],
      ],
      null,
      'header',
    ],
    [new Headers({ authorization: 'Bearer tok' }), 'tok', 'header'],
    [{ cookie: '__session=t\u00f6k' }, 't\u00f6k', 'cookie'],
  ]) {
    assert.deepEqual(clerk.credential({ headers }), { token, source }, JSON.stringify(headers));
  }
  assert.throws(() => clerk.credential('Bearer tok'), TypeError);
  assert.equal(clerk.stats().cacheMisses, 0);
  await clerk.close();
  assert.throws(() => clerk.credential({ headers: {} }), ClerkError);
  assert.equal(events, 0);
});

test('explain: a rejected token, check by check', async () => {
  const clerk = sim.client({ authorizedParties: ['https://a.example'] });
  await clerk.warmUp();
  const { authorization } = await sim.bearer({ user: 'user_1', azp: 'https://b.example' });
  const token = authorization.slice('Bearer '.length);
  const explanation = clerk.explain(token);
  assert.equal(explanation.reason, (await clerk.authenticate({ authorization })).reason);
  assert.equal(explanation.summary, 'azp "https://b.example" not in authorized_parties');
  const failed = explanation.checks.filter((check) => check.status === 'failed');
  assert.deepEqual(
    failed.map((check) => check.name),
    ['azp'],
  );
  assert.ok(!JSON.stringify(explanation).includes(token.slice(-40)));
  assert.equal(clerk.explain('').rejected, true);
  assert.throws(() => clerk.explain(undefined), TypeError);
});

test('revocations: by call, and from one client to another', async () => {
  const [first, second] = [sim.client(), sim.client()];
  const requests = [await sim.bearer({ user: 'user_1', sid: 'sess_1' }), await sim.bearer({ user: 'user_2' })];
  for (const request of requests) assert.equal((await second.authenticate(request)).isAuthenticated, true);
  first.revokeSession('sess_1');
  first.revokeUser('user_2');
  for (let i = 0; i < 100; i++) first.revokeSession(`sess_more_${i}`);
  assert.throws(() => first.revokeUser('sess_1'), ClerkError);
  assert.throws(() => second.importRevocations('{}'), ClerkError);
  second.importRevocations(first.exportRevocations());
  for (const request of requests) assert.equal((await second.authenticate(request)).reason, 'session-revoked');
});
