// Settings: from options, from the environment, invalid.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { runInNewContext } from 'node:vm';
import { beforeEach, test } from 'node:test';
import { ClerkClient, ClerkError } from 'clerk-auth';
import { clerkPlugin } from 'clerk-auth/fastify';
import { withAuth } from 'clerk-auth/http';
import { startSim } from './support/sim.mjs';

const require = createRequire(import.meta.url);
const sim = await startSim();
beforeEach(() => sim.reset());

test('invalid setting is an error that names it and contains no secret', () => {
  const wrong = [
    [{ secretKey: 'pk_test_x' }, 'secret_key'],
    [{ apiUrl: 'http://example.com', secretKey: 'sk_test_x' }, 'api_url'],
    [{ jwtKey: 'nonsense' }, 'jwt_key'],
    [{ userMode: 'sync', secretKey: 'sk_test_x' }, 'user_mode'],
    [{ clockSkewMs: -1, secretKey: 'sk_test_x' }, 'clock_skew_ms'],
    [{ acceptsToken: ['nonsense'], secretKey: 'sk_test_x' }, 'accepts_token'],
    [{}, 'secret_key'],
  ];
  for (const [options, setting] of wrong) {
    assert.throws(
      () => new ClerkClient({ env: false, ...options }),
      (error) => {
        assert.ok(error instanceof ClerkError);
        assert.equal(error.code, 'CLERK_CONFIG');
        assert.equal(error.setting, setting);
        assert.doesNotMatch(inspect(error), /sk_test_x/);
        return true;
      },
    );
  }
  const types = [
    [{ secretkey: 'x' }, /options\.secretkey is not a setting/],
    [{ timeoutMs: 1.5 }, /options\.timeoutMs must be an integer/],
    [{ issuer: [5] }, /options\.issuer must be/],
    [{ issuer: {} }, /options\.issuer must be/],
    [{ users: {} }, /options\.users\.findByKey must be a function/],
    [{ users: 5 }, /options\.users must be an object/],
    [{ storeTimeoutMs: 0 }, /options\.storeTimeoutMs/],
    [null, /options must be an object/],
  ];
  for (const [options, message] of types) assert.throws(() => new ClerkClient(options), { name: 'TypeError', message });
});

test('client without secrets during next build reports them on first use', async (t) => {
  process.env.NEXT_PHASE = 'phase-production-build';
  t.after(() => delete process.env.NEXT_PHASE);
  const clerk = new ClerkClient({ env: false });
  const error = { code: 'CLERK_CONFIG', setting: 'secret_key' };
  clerk.events.on('authFailed', assert.fail);
  await assert.rejects(clerk.authenticate({ headers: {} }), error);
  await assert.rejects(clerk.warmUp(), error);
  await assert.rejects(clerk.verifyToken('x'), error);
  await assert.rejects(clerk.webhooks.handle({ headers: {}, body: '' }), error);
  assert.throws(() => clerk.authenticateCached({ headers: {} }), error);
  assert.throws(() => clerk.stats(), error);
  assert.throws(() => new ClerkClient({ env: false, issuer: {} }), TypeError);
  await clerk.close();
  await assert.rejects(clerk.authenticate({ headers: {} }), { code: 'CLERK_CLOSED' });
  delete process.env.NEXT_PHASE;
  assert.throws(() => new ClerkClient({ env: false }), error);
});

test('options take precedence over the environment', async () => {
  const env = {
    CLERK_SECRET_KEY: 'sk_test_x',
    CLERK_API_URL: sim.url,
    CLERK_AUTH_PARTIES: 'https://a.example,https://b.example',
    CLERK_TIMEOUT_MS: '',
  };
  const bearer = await sim.bearer({ user: 'user_1', azp: 'https://b.example' });
  const clerk = new ClerkClient({ env });
  assert.equal((await clerk.authenticate(bearer)).userId, 'user_1');
  const own = new ClerkClient({ env, authorizedParties: ['https://c.example'] });
  assert.equal((await own.authenticate(bearer)).reason, 'token-invalid-authorized-parties');
  await Promise.all([clerk.close(), own.close()]);
  assert.throws(() => new ClerkClient({ env: { CLERK_TIMEOUT_MS: 'x', CLERK_SECRET_KEY: 'sk_test_x' } }), {
    setting: 'timeout_ms',
  });
});

test('options that are not a plain object are a TypeError in every entry point', async () => {
  // The client of another copy of the package is not an instance of this one's class.
  const name = /\/(lib|package\.json)/;
  const ours = Object.keys(require.cache).filter((file) => name.test(file) && !file.includes('node_modules'));
  const kept = ours.map((file) => [file, require.cache[file]]);
  for (const file of ours) delete require.cache[file];
  const { ClerkClient: Other } = require('clerk-auth');
  for (const [file, module] of kept) require.cache[file] = module;
  assert.notEqual(Other, ClerkClient);
  const other = new Other(sim.settings());
  const wrong = [
    other,
    Promise.resolve(sim.settings()),
    [],
    new Map([['authorizedParties', 'https://a.example']]),
    new (class {
      get authorizedParties() {
        return ['https://a.example'];
      }
    })(),
  ];
  const before = { ...process.env };
  Object.assign(process.env, { CLERK_SECRET_KEY: 'sk_test_x', CLERK_API_URL: sim.url });
  try {
    for (const options of wrong) {
      const expected = { name: 'TypeError', message: /^options must be/ };
      assert.throws(() => new ClerkClient(options), expected);
      for (const entry of ['express', 'koa', 'hono'])
        assert.throws(() => require(`clerk-auth/${entry}`).clerkMiddleware(options), expected, entry);
      assert.throws(() => withAuth(options, () => {}), expected);
      await assert.rejects(clerkPlugin({}, options), expected);
    }
  } finally {
    for (const each of ['CLERK_SECRET_KEY', 'CLERK_API_URL']) delete process.env[each];
    Object.assign(process.env, before);
    await other.close();
  }
  for (const options of [
    Object.assign(Object.create(null), sim.settings()),
    runInNewContext('({env: {CLERK_SECRET_KEY: "sk_test_x"}})'),
  ])
    await new ClerkClient(options).close();
});
