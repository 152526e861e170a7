// Settings: given, from an environment, wrong.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { beforeEach, test } from 'node:test';
import { ClerkClient, ClerkError } from 'clerk-auth';
import { startSim } from './support/sim.mjs';

const sim = await startSim();
beforeEach(() => sim.reset());

test('wrong settings name themselves, and tell no secret', () => {
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
    [{ secretkey: 'x' }, /options\.secretkey is no setting/],
    [{ timeoutMs: 1.5 }, /options\.timeoutMs must be a whole number/],
    [{ issuer: [5] }, /options\.issuer must be/],
    [{ issuer: {} }, /options\.issuer must be/],
    [{ users: {} }, /options\.users\.findByKey must be a function/],
    [{ users: 5 }, /options\.users must be an object/],
    [{ storeTimeoutMs: 0 }, /options\.storeTimeoutMs/],
    [null, /options must be an object/],
  ];
  for (const [options, message] of types) assert.throws(() => new ClerkClient(options), { name: 'TypeError', message });
});

test('settings from an environment, own ones first', async () => {
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
