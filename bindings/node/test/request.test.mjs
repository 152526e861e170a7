// The accepted forms of a request, and the errors for any other value.
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import { beforeEach, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { startSim } from './support/sim.mjs';

const sim = await startSim();
beforeEach(() => sim.reset());

test('accepted forms of a request', async () => {
  const clerk = sim.client();
  const token = await sim.token({ user: 'user_1' });
  const bearer = `Bearer ${token}`;
  const cookie = `a=b; __session=${token}; c=d`;
  const requests = {
    'plain headers': { authorization: bearer },
    'plain headers in capitals': { Authorization: bearer },
    'a request of plain headers': { method: 'GET', headers: { AUTHORIZATION: bearer } },
    'values in arrays': { headers: { authorization: [bearer] } },
    'cookies in an array': { headers: { cookie: ['a=b', `__session=${token}`] } },
    'a cookie': { headers: { cookie } },
    pairs: [['Authorization', bearer]],
    Headers: new Headers({ authorization: bearer }),
    Request: new Request('http://localhost/', { headers: { authorization: bearer } }),
    'Request with a cookie': { method: 'GET', headers: new Map([['cookie', cookie]]) },
    'a header named `headers`': { headers: 'x', authorization: bearer },
  };
  for (const [name, request] of Object.entries(requests)) {
    assert.equal((await clerk.authenticate(request)).userId, 'user_1', name);
    assert.equal(clerk.authenticateCached(request).userId, 'user_1', name);
  }
  const two = [
    ['authorization', bearer],
    ['Authorization', bearer],
  ];
  assert.equal((await clerk.authenticate(two)).reason, 'token-invalid');
});

test('Node requests, with duplicate Authorization headers among them', async (t) => {
  const clerk = sim.client();
  const server = http.createServer(async (req, res) => {
    const auth = await clerk.authenticate(req);
    res.end(`${auth.userId} ${auth.reason} ${auth.handshakeRecommended}`);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const get = async (headers) => {
    const request = http.request({ port: server.address().port, headers, agent: false });
    request.end();
    const [response] = await once(request, 'response');
    return Buffer.concat(await response.toArray()).toString();
  };
  const token = await sim.token();
  const expired = await sim.token({ user: 'user_1', spoil: 'expired' });
  assert.equal(await get(['Authorization', `Bearer ${token}`, 'Host', 'x']), 'user_1 null false');
  assert.equal(await get(['Cookie', `__session=${token}`, 'Host', 'x']), 'user_1 null false');
  assert.equal(
    await get(['Authorization', `Bearer ${token}`, 'authorization', 'Bearer x', 'Host', 'x']),
    'null token-invalid false',
  );
  assert.equal(await get(['Cookie', `__session=${expired}`, 'Host', 'x']), 'null token-expired false');
  assert.equal(
    await get(['Cookie', `__session=${expired}`, 'Sec-Fetch-Dest', 'document', 'Host', 'x']),
    'null token-expired true',
  );
});

test('invalid request is a TypeError that names the field', async () => {
  const clerk = sim.client();
  const wrong = [
    [undefined, /^request must be/],
    [null, /^request must be/],
    ['Bearer x', /^request must be/],
    [{ headers: 5 }, /^request\.headers must be/],
    [{ headers: { authorization: 5 } }, /^request\.headers\.authorization must be a string/],
    [{ headers: { cookie: {} } }, /^request\.headers\.cookie must be a string/],
    [{ rawHeaders: [], headers: { authorization: 5 } }, /^request\.headers\.authorization must be a string/],
    [[['authorization']], /pairs of name and value/],
    [{ authorization: 'Bearer \u{1f511}' }, /^request\.headers\.authorization contains a character/],
  ];
  for (const [request, message] of wrong) {
    await assert.rejects(clerk.authenticate(request), { name: 'TypeError', message });
    assert.throws(() => clerk.authenticateCached(request), { name: 'TypeError', message });
  }
  await assert.rejects(clerk.verifyToken(5), { name: 'TypeError', message: /^token must be/ });
  assert.throws(() => clerk.invalidateUser(), { name: 'TypeError', message: /^clerkId must be/ });
  await assert.rejects(clerk.authenticate({}, { signal: 5 }), { name: 'TypeError', message: /options\.signal/ });
});

test('non-ASCII bytes of a header are preserved', async () => {
  const clerk = sim.client();
  const token = await sim.token();
  const auth = await clerk.authenticate({ cookie: `name=Ren\u00e9\u00ff; __session=${token}` });
  assert.equal(auth.userId, 'user_1');
  assert.equal((await clerk.authenticate({ authorization: `Bearer ${token}\u00e9` })).reason, 'token-invalid');
  // At every offset: bytes are checked eight at a time.
  for (let place = 0; place <= 24; place++) {
    const cookie = `${'x'.repeat(place)}\u0100${'x'.repeat(24 - place)}`;
    assert.throws(
      () => clerk.authenticateCached({ cookie }),
      /^TypeError: request\.headers\.cookie contains a character/,
    );
  }
  const long = `x=${'y'.repeat(40_000)}; __session=${token}`;
  assert.equal((await clerk.authenticate({ cookie: long })).userId, 'user_1');
});

test('any number of headers gets a result, never an exception', async (t) => {
  const clerk = sim.client();
  const server = http.createServer(async (req, res) => {
    const { httpStatus, reason } = await clerk.authenticate(req).catch(() => ({ httpStatus: 500, reason: 'rejected' }));
    res.writeHead(httpStatus).end(reason);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const token = await sim.token();
  const duplicate = { name: 'Authorization', value: `Bearer ${token}`, status: 401, reason: 'token-invalid' };
  const other = { name: 'Cookie', value: 'a=b', status: 401, reason: 'session-token-missing' };
  for (const count of [61, 900]) {
    for (const { name, value, status, reason } of [duplicate, other]) {
      const pairs = Array.from({ length: count }, () => [name, value]);
      for (const request of [pairs, { [name]: pairs.map((pair) => pair[1]) }]) {
        assert.equal(clerk.authenticateCached(request).reason, reason);
        const auth = await clerk.authenticate(request);
        assert.deepEqual([auth.httpStatus, auth.reason], [status, reason]);
      }
    }
    // Short values: Node accepts 16 KB of headers.
    const lines = ['Host', 'x', ...Array.from({ length: count }, () => ['Authorization', 'x']).flat()];
    const request = http.request({ port: server.address().port, headers: lines, agent: false });
    request.end();
    const [response] = await once(request, 'response');
    assert.deepEqual([response.statusCode, Buffer.concat(await response.toArray()).toString()], [401, 'token-invalid']);
  }
  const last = [...Array.from({ length: 900 }, () => ['cookie', 'a=b']), ['cookie', `__session=${token}`]];
  assert.equal((await clerk.authenticate(last)).userId, 'user_1');
});

test('object without readable headers is a TypeError', async () => {
  const clerk = sim.client();
  const authorization = `Bearer ${await sim.token()}`;
  class Own {
    url = '/';
  }
  const wrong = [
    [Promise.resolve({ headers: { authorization } }), /^request must be/],
    [new Date(), /^request must be/],
    [new Own(), /^request must be/],
    [Object.create({ authorization }), /^request must be/],
    [['Authorization', authorization], /^request must be|pairs of name and value/],
    [{ headers: Promise.resolve({ authorization }) }, /^request\.headers must be/],
    [{ headers: Object.create({ authorization }) }, /^request\.headers must be/],
    [{ rawHeaders: [], headers: Object.create({ authorization }) }, /^request\.headers must be/],
    [{ rawHeaders: [null, 1], headers: { authorization } }, /^request\.rawHeaders must contain/],
    [new Map([['authorization', 5]]), /^request\.headers\.authorization must be a string/],
    [{ headers: new Map([['Cookie', {}]]) }, /^request\.headers\.cookie must be a string/],
    [{ headers: new Map([[5, 'x']]) }, /^request\.headers as an array or a Map must contain pairs/],
    [{ headers: { get: () => 5, has: () => true } }, /^request\.headers\.authorization must be a string/],
  ];
  for (const [request, message] of wrong) {
    await assert.rejects(clerk.authenticate(request), { name: 'TypeError', message });
    assert.throws(() => clerk.authenticateCached(request), { name: 'TypeError', message });
  }
  const right = [
    new Map([['Authorization', authorization]]),
    { headers: new Map([['AUTHORIZATION', [authorization]]]) },
    Object.assign(Object.create(null), { authorization }),
    { headers: Object.assign(Object.create(null), { authorization }) },
    runInNewContext('({headers: {authorization}})', { authorization }),
  ];
  for (const request of right) assert.equal((await clerk.authenticate(request)).userId, 'user_1');
});

test('`signal: null` is the same as no signal', async () => {
  assert.equal((await sim.client().authenticate({}, { signal: null })).status, 'no-credentials');
});
