// The tests that the middleware of every framework passes.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { startSim } from './sim.mjs';

const ORG = { id: 'org_1', slug: 'acme', role: 'member', permissions: ['org:invoices:read'] };
const sim = await startSim();
beforeEach(() => sim.reset());

/**
 * `serve(client)` returns `{url, close}` of a server with the routes `/`, `/private` with requireAuth(), and `/admin` with
 * requireAuth({role: 'org:admin'}). Each responds "<status> <userId>".
 */
export function testMiddleware(name, serve) {
  const get = async (t, client, path, headers = {}) => {
    const { url, close } = await serve(client);
    t.after(close);
    const response = await fetch(url + path, { headers });
    return { code: response.status, headers: response.headers, text: await response.text() };
  };

  test(`${name}: signed in, and authorized or forbidden by role`, async (t) => {
    const client = sim.client();
    const headers = await sim.bearer({ user: 'user_1', org: ORG });
    for (const path of ['/', '/private']) {
      const { code, text } = await get(t, client, path, headers);
      assert.deepEqual([code, text], [200, 'signed-in user_1']);
    }
    const cookie = `__session=${headers.authorization.slice(7)}`;
    assert.equal((await get(t, client, '/private', { cookie })).text, 'signed-in user_1');
    const forbidden = await get(t, client, '/admin', headers);
    assert.equal(forbidden.code, 403);
    assert.equal(forbidden.headers.get('www-authenticate'), 'Bearer error="insufficient_scope"');
    assert.deepEqual(JSON.parse(forbidden.text), { error: 'forbidden' });
    const admin = await sim.bearer({ user: 'user_2', org: { ...ORG, role: 'admin' } });
    assert.equal((await get(t, client, '/admin', admin)).text, 'signed-in user_2');
  });

  test(`${name}: missing or expired token returns 401`, async (t) => {
    const client = sim.client();
    const open = await get(t, client, '/');
    assert.deepEqual([open.code, open.text], [200, 'no-credentials null']);
    const none = await get(t, client, '/private');
    assert.equal(none.code, 401);
    assert.equal(none.headers.get('www-authenticate'), 'Bearer');
    assert.equal(none.headers.get('cache-control'), 'no-store');
    assert.match(none.headers.get('content-type'), /^application\/json/);
    assert.deepEqual(JSON.parse(none.text), { error: 'session-token-missing' });
    const expired = await sim.bearer({ user: 'user_1', spoil: 'expired' });
    assert.equal((await get(t, client, '/', expired)).text, 'signed-out null');
    const rejected = await get(t, client, '/private', expired);
    assert.equal(rejected.code, 401);
    assert.match(rejected.headers.get('www-authenticate'), /^Bearer error="invalid_token"/);
    assert.deepEqual(JSON.parse(rejected.text), { error: 'token-expired' });
  });

  test(`${name}: 429 from Clerk returns 503 with Retry-After`, async (t) => {
    const client = sim.client({ userMode: 'profile', timeoutMs: 500 });
    await sim.user('user_1', {});
    await sim.faults({ path: '/users/*', status: 429, headers: { 'Retry-After': '7' } });
    const { code, headers, text } = await get(t, client, '/private', await sim.bearer({ user: 'user_1' }));
    assert.equal(code, 503);
    assert.match(headers.get('retry-after'), /^[67]$/);
    assert.equal(headers.get('www-authenticate'), null);
    assert.deepEqual(JSON.parse(text), { error: 'unavailable' });
  });

  test(`${name}: rejected secret key returns 500`, async (t) => {
    await sim.reset({ secret_keys: ['sk_test_another'] });
    const client = sim.client({ userMode: 'profile' });
    const { code, text } = await get(t, client, '/private', await sim.bearer({ user: 'user_1' }));
    assert.deepEqual([code, JSON.parse(text)], [500, { error: 'misconfigured' }]);
  });

  test(`${name}: handshake redirects a page to Clerk and back`, async (t) => {
    const client = sim.client({ handshake: true, publishableKey: 'pk_live_Y2xlcmsuZXhhbXBsZS5jb20k' });
    const { url, close } = await serve(client);
    t.after(close);
    const cookie = async (spec) => `__session=${await sim.token(spec)}; __client_uat=1700000000`;
    const stale = await cookie({ user: 'user_1', spoil: 'expired' });
    const page = (path, headers) =>
      fetch(url + path, { headers: { accept: 'text/html', ...headers }, redirect: 'manual' });

    const away = await page('/private?a=b%20c', { cookie: stale });
    assert.equal(away.status, 307);
    const location = new URL(away.headers.get('location'));
    assert.equal(location.origin + location.pathname, 'https://clerk.example.com/v1/client/handshake');
    assert.equal(location.searchParams.get('redirect_url'), `${url}/private?a=b%20c`);
    assert.equal(away.headers.get('cache-control'), 'no-store');
    assert.deepEqual(away.headers.getSetCookie(), ['__clerk_redirect_count=1; SameSite=Lax; HttpOnly; Max-Age=2']);
    assert.equal(await away.text(), '');
    const call = await page('/private', { accept: 'application/json', cookie: stale });
    assert.deepEqual([call.status, call.headers.getSetCookie()], [401, []]);

    const lines = [`__session=${await sim.token({ user: 'user_1' })}; Path=/`, '__client_uat=1700000000; Path=/'];
    await sim.admin('PUT', '/state', { nonces: { n1: lines, n2: ['__session=; Path=/'] } });
    const back = await page('/private', { cookie: `${stale}; __clerk_handshake_nonce=n1` });
    assert.deepEqual([back.status, await back.text()], [200, 'signed-in user_1']);
    assert.deepEqual(back.headers.getSetCookie(), lines);
    const signedOut = await page('/private', { cookie: `${stale}; __clerk_handshake_nonce=n2` });
    assert.deepEqual([signedOut.status, signedOut.headers.getSetCookie()], [401, ['__session=; Path=/']]);
  });

  test(`${name}: handshake redirects to known origins only`, async (t) => {
    const client = sim.client({
      handshake: 'on',
      publishableKey: 'pk_live_Y2xlcmsuZXhhbXBsZS5jb20k',
      publicOrigin: ['https://app.example.com'],
    });
    const headers = { accept: 'text/html', cookie: '__client_uat=1700000000', 'x-forwarded-host': 'app.example.com' };
    const { code, headers: received } = await get(t, client, '/private', headers);
    assert.deepEqual([code, received.get('location')], [401, null]);
  });

  return sim;
}
