// `handshake: true` in each framework: redirects, cookies, and what gets neither.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import express from 'express';
import Fastify from 'fastify';
import { Hono } from 'hono';
import Koa from 'koa';
import { ClerkClient, ClerkError } from 'clerk-auth';
import * as onExpress from 'clerk-auth/express';
import * as onFastify from 'clerk-auth/fastify';
import * as onHono from 'clerk-auth/hono';
import * as onHttp from 'clerk-auth/http';
import * as onKoa from 'clerk-auth/koa';
import { startSim } from './support/sim.mjs';

const sim = await startSim();
const publishableKey = 'pk_live_Y2xlcmsuZXhhbXBsZS5jb20k';
const settings = { publishableKey, secretKey: 'sk_live_x', apiUrl: sim.url, env: false, handshake: true };
const HOST = 'app.example.com';
const servers = [];
const clients = [];
after(async () => {
  for (const server of servers) server.close();
  await Promise.all(clients.map((client) => client.close()));
});

/** Each function makes a server of `/`, with optional authentication and a cookie of its own, and of `/guarded`. */
const frameworks = {
  express(client, options) {
    const app = express().use(onExpress.clerkMiddleware(client, options));
    app.get('/', (req, res) => res.cookie('own', '1').send(`${onExpress.getAuth(req).userId}`));
    app.use('/guarded', onExpress.requireAuth(), (req, res) => res.send(onExpress.getAuth(req).userId));
    return http.createServer(app);
  },
  async fastify(client, { rejectInvalid } = {}) {
    const app = Fastify();
    app.register(onFastify.clerkPlugin, rejectInvalid ? { client, rejectInvalid } : { client });
    app.get('/', (request, reply) => reply.header('Set-Cookie', 'own=1').send(`${onFastify.getAuth(request).userId}`));
    const preHandler = onFastify.requireAuth();
    app.all('/guarded', { preHandler }, (request) => onFastify.getAuth(request).userId);
    await app.ready();
    return app.server;
  },
  koa(client, options) {
    const app = new Koa({ env: 'test' }).on('error', () => {}).use(onKoa.clerkMiddleware(client, options));
    const guarded = onKoa.requireAuth();
    app.use((ctx) => {
      if (ctx.path !== '/') return guarded(ctx, async () => void (ctx.body = ctx.state.auth.userId));
      ctx.cookies.set('own', '1');
      ctx.body = `${ctx.state.auth.userId}`;
    });
    return http.createServer(app.callback());
  },
  hono(client, options) {
    const app = new Hono().use('*', onHono.clerkMiddleware(client, options));
    app.get('/', (c) => c.text(`${c.get('clerkAuth').userId}`, 200, { 'Set-Cookie': 'own=1' }));
    app.all('/guarded', onHono.requireAuth(), (c) => c.text(c.get('clerkAuth').userId));
    const { getRequestListener } = createRequire(import.meta.url)('@hono/node-server');
    return http.createServer(getRequestListener(app.fetch));
  },
  http(client, options) {
    const handler = (req, res) => {
      if (req.url === '/') res.appendHeader('Set-Cookie', 'own=1').end(`${onHttp.getAuth(req).userId}`);
      else if (onHttp.requireAuth(req, res)) res.end(onHttp.getAuth(req).userId);
    };
    return http.createServer(onHttp.withAuth(client, handler, options));
  },
};

/** Starts a server; returns a function that sends a request with raw header lines. */
async function listen(make, config = {}, options = undefined) {
  const client = new ClerkClient({ ...settings, publicOrigin: [`http://${HOST}`], ...config });
  clients.push(client);
  const server = (await make(client, options)).listen(0, '127.0.0.1');
  servers.push(server);
  if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
  return (target, cookie, lines = ['Sec-Fetch-Dest: document'], method = 'GET', host = HOST) =>
    new Promise((resolve, reject) => {
      const socket = net.connect(server.address().port, '127.0.0.1');
      const head = [
        `${method} ${target} HTTP/1.1`,
        `Host: ${host}`,
        'Connection: close',
        'Content-Length: 0',
        ...lines,
      ];
      if (cookie) head.push(`Cookie: ${cookie}`);
      const received = [];
      socket.on('data', (data) => received.push(data)).on('error', reject);
      socket.on('end', () => resolve(parse(Buffer.concat(received).toString('latin1'))));
      socket.write(head.join('\r\n') + '\r\n\r\n');
    });
}

function parse(response) {
  const [head, body] = response.split('\r\n\r\n');
  const [statusLine, ...lines] = head.split('\r\n');
  const all = (name) =>
    lines.filter((line) => line.toLowerCase().startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
  return { status: Number(statusLine.split(' ')[1]), all, location: all('location')[0], body };
}

const isPlain = (response) => response.location === undefined && response.all('set-cookie').length === 0;
const mint = (spec) => sim.admin('POST', '/mint', { user: 'user_1', ...spec }).then(({ token }) => token);

for (const [name, make] of Object.entries(frameworks)) {
  test(`${name}: page with a stale session goes to Clerk and comes back signed in`, async () => {
    const ask = await listen(make);
    const stale = `__client_uat=1700000000; __session=${await mint({ spoil: 'expired' })}`;
    for (const path of ['/', '/guarded']) {
      const away = await ask(`${path}?a=b%20c&d`, stale);
      const back = encodeURIComponent(`http://${HOST}${path}?a=b%20c&d`);
      assert.equal(away.status, 307);
      assert.ok(away.location.startsWith(`https://clerk.example.com/v1/client/handshake?redirect_url=${back}&`));
      assert.deepEqual(away.all('location').length, 1);
      assert.deepEqual(away.all('cache-control'), ['no-store']);
      assert.deepEqual(away.all('set-cookie'), ['__clerk_redirect_count=1; SameSite=Lax; HttpOnly; Max-Age=2']);
    }
    const lines = [`__session=${await mint({})}; Path=/`, '__client_uat=1700000000; Path=/'];
    const out = ['__session=; Path=/', '__client_uat=0; Path=/'];
    await sim.admin('PUT', '/state', {
      nonces: { n1: lines, n2: lines, n3: out, n4: ['__session=a\r\nX: y', ...lines] },
    });
    const page = await ask('/', `${stale}; __clerk_handshake_nonce=n1`);
    assert.deepEqual([page.status, page.body.includes('user_1')], [200, true]);
    assert.deepEqual(
      page
        .all('set-cookie')
        .map((line) => line.split(';')[0])
        .sort(),
      ['__client_uat=1700000000', lines[0].split(';')[0], 'own=1'],
    );
    assert.deepEqual(page.all('cache-control'), ['no-store']);
    const guarded = await ask('/guarded', `${stale}; __clerk_handshake_nonce=n2`);
    assert.deepEqual([guarded.status, guarded.all('set-cookie')], [200, lines]);
    const refused = await ask('/guarded', `${stale}; __clerk_handshake_nonce=n3`);
    assert.deepEqual([refused.status, refused.all('set-cookie'), refused.location], [401, out, undefined]);
    const hostile = await ask('/guarded', `${stale}; __clerk_handshake_nonce=n4`);
    assert.deepEqual([hostile.status, hostile.all('set-cookie'), hostile.all('x')], [200, lines, []]);
    const stolen = await ask('/guarded', '__clerk_handshake_nonce=n2');
    assert.ok(stolen.status === 401 && isPlain(stolen));
  });

  test(`${name}: only documents of known hosts are redirected`, async () => {
    const ask = await listen(make);
    const stale = `__client_uat=1700000000; __session=${await mint({ spoil: 'expired' })}`;
    for (const [method, lines] of [
      ['POST', ['Sec-Fetch-Dest: document', 'Sec-Fetch-Site: same-origin']],
      ['HEAD', ['Sec-Fetch-Dest: document']],
      ['GET', ['Sec-Fetch-Dest: empty', 'Accept: text/html']],
      ['GET', ['Sec-Fetch-Dest: image']],
      ['GET', ['Accept: */*']],
      ['GET', []],
    ]) {
      const response = await ask('/guarded', stale, lines, method);
      assert.ok(response.status === 401 && isPlain(response), `${method} ${lines}: ${response.status}`);
    }
    const hosts = [
      'evil.example',
      `${HOST}:81`,
      `${HOST}.`,
      `a@${HOST}`,
      `${HOST}@evil.example`,
      '[::1]',
      `${HOST}, a`,
    ];
    for (const host of hosts) {
      const forwarded = ['Sec-Fetch-Dest: document', `X-Forwarded-Host: ${HOST}`, `Forwarded: host=${HOST}`];
      const response = await ask('/guarded', stale, forwarded, 'GET', host);
      assert.ok(response.status >= 400 && isPlain(response), `${host}: ${response.status} ${response.location}`);
    }
    for (const host of [HOST.toUpperCase(), `${HOST}:80`]) {
      const { location } = await ask('/guarded', stale, undefined, 'GET', host);
      assert.ok(location.includes(`redirect_url=http%3A%2F%2F${HOST}%2Fguarded&`), host);
    }
    const spoofed = await ask('/guarded', stale, ['Sec-Fetch-Dest: document', 'X-Forwarded-Host: evil.example']);
    assert.ok(spoofed.location.includes(`redirect_url=http%3A%2F%2F${HOST}%2Fguarded&`));
    for (const target of ['http://evil.example/', '//evil.example/guarded', '/\\evil.example', '/@evil.example']) {
      const { location } = await ask(target, stale);
      const back = location === undefined ? `http://${HOST}/` : new URL(location).searchParams.get('redirect_url');
      assert.ok(back.startsWith(`http://${HOST}/`), `${target}: ${location}`);
    }
  });

  test(`${name}: rejectInvalid passes on requests without a session cookie`, async () => {
    const ask = await listen(make, {}, { rejectInvalid: true });
    const image = ['Sec-Fetch-Dest: image'];
    const anonymous = await ask('/', '__client_uat=1700000000', image);
    assert.deepEqual([anonymous.status, anonymous.body.includes('null')], [200, true]);
    const expired = `__client_uat=1700000000; __session=${await mint({ spoil: 'expired' })}`;
    assert.equal((await ask('/', expired, image)).status, 401);
    assert.equal((await ask('/', '__client_uat=1700000000')).status, 307);
  });

  test(`${name}: outage during the exchange is 503, and the next request is signed in`, async () => {
    const ask = await listen(make, { timeoutMs: 1000 });
    await sim.admin('PUT', '/state', { nonces: { n1: [`__session=${await mint({})}; Path=/`] } });
    await sim.faults({ path: '/clients/handshake_payload', status: 500, times: 1 });
    const cookie = '__client_uat=1700000000; __clerk_handshake_nonce=n1';
    const failed = await ask('/guarded', cookie);
    assert.deepEqual([failed.status, isPlain(failed), failed.all('retry-after').length], [503, true, 1]);
    await sim.faults();
    assert.equal((await ask('/guarded', cookie)).status, 200);
  });
}

test('handshake without one of its keys is a configuration error', () => {
  for (const name of ['publishableKey', 'secretKey']) {
    const { [name]: _, ...rest } = settings;
    const names = (error) =>
      error instanceof ClerkError && error.code === 'CLERK_CONFIG' && error.setting !== undefined;
    assert.throws(() => new ClerkClient({ ...rest, jwksUrl: `${sim.url}/jwks` }), names, name);
  }
});

test('two Authorization lines are rejected whatever other lines there are', async (t) => {
  const client = new ClerkClient({
    ...settings,
    publishableKey: 'pk_test_Y2xlcmsuZXhhbXBsZS5jb20k',
    secretKey: 'sk_test_x',
  });
  clients.push(client);
  const server = http.createServer(async (req, res) => res.end(`${(await client.authenticate(req)).reason}`));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const token = await sim.token();
  const cookie = ['Cookie', `__session=${token}; __client_uat=1; __clerk_db_jwt=dvb_1`];
  for (const [name, count] of [
    ['X', 0],
    ['Referer', 20],
    ['User-Agent', 40],
    ['X-Forwarded-For', 60],
  ]) {
    const others = Array.from({ length: count }, () => [name, 'x']).flat();
    const headers = ['Host', HOST, ...cookie, ...others, 'Authorization', 'Bearer a', 'Authorization', 'Bearer b'];
    const request = http.request({ port: server.address().port, headers, agent: false });
    request.end();
    const [response] = await once(request, 'response');
    assert.equal(Buffer.concat(await response.toArray()).toString(), 'token-invalid', name);
  }
});
