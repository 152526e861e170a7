import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import { test } from 'node:test';
import { getAuth, requireAuth, withAuth } from 'clerk-auth/http';
import { testMiddleware } from './support/middleware-tests.mjs';

async function listening(handler) {
  const server = http.createServer(handler);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

const sim = testMiddleware('http', (client) =>
  listening(
    withAuth(client, (req, res) => {
      if (req.url === '/private' && !requireAuth(req, res)) return;
      if (req.url === '/admin' && !requireAuth(req, res, { role: 'org:admin' })) return;
      res.end(`${getAuth(req).status} ${getAuth(req).userId}`);
    }),
  ),
);

test('http: closed client returns 500 and does not call the handler', async (t) => {
  const client = sim.client();
  await client.close();
  const { url, close } = await listening(withAuth(client, (req, res) => res.end('handler called')));
  t.after(close);
  const warned = once(process, 'warning');
  const response = await fetch(url);
  assert.deepEqual([response.status, await response.json()], [500, { error: 'internal-error' }]);
  assert.equal((await warned)[0].code, 'CLERK_CLOSED');
  assert.throws(() => withAuth(client), TypeError);
});
