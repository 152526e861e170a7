// The package as users get it: packed, installed offline without scripts, loaded as CommonJS and as a module.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as asModule from 'clerk-auth';
import { createRequire } from 'node:module';
import { ADA, startSim } from './support/sim.mjs';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const sim = await startSim();
const work = mkdtempSync(join(tmpdir(), 'clerk-auth-node-'));
after(() => rmSync(work, { recursive: true }));
beforeEach(async () => {
  await sim.reset();
  await sim.user('user_1', ADA);
});

/** Starts a program that prints its port. It is killed after the test. */
async function serve(t, cwd, file, env = {}) {
  const child = spawn(process.execPath, [file], {
    cwd,
    env: { PATH: process.env.PATH, PORT: '0', CLERK_SECRET_KEY: 'sk_test_sim', CLERK_API_URL: sim.url, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value: port } = await lines.next();
  return { child, lines, url: `http://127.0.0.1:${port}` };
}

test('first example of the README equals examples/quick-start.mjs', () => {
  const first = readFileSync(join(root, 'README.md'), 'utf8').match(/```js\n(.*?)```/s)[1];
  assert.equal(first, readFileSync(join(root, 'examples/quick-start.mjs'), 'utf8'));
});

test('packed package installs offline without scripts and works', async (t) => {
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], {
    cwd: root,
  });
  const [{ filename, files }] = JSON.parse(stdout);
  const names = files.map(({ path }) => path);
  assert.ok(names.includes(`prebuilds/${process.platform}-${process.arch}/node.napi.node`));
  for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) assert.ok(names.includes(name), name);
  assert.ok(
    names.every((name) =>
      /^(lib|examples|prebuilds)\/|^(package\.json|README\.md|LICENSE-APACHE|LICENSE-MIT)$/.test(name),
    ),
    names.join(),
  );
  const app = join(work, 'app');
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{"private": true}');
  await run('npm', ['install', '--ignore-scripts', '--offline', '--no-audit', '--no-fund', join(work, filename)], {
    cwd: app,
  });
  cpSync(join(root, 'examples/quick-start.mjs'), join(app, 'quick-start.mjs'));
  const { url } = await serve(t, app, 'quick-start.mjs');
  const get = async (headers) => {
    const response = await fetch(url, { headers });
    return `${response.status} ${await response.text()}`;
  };
  assert.equal(await get(await sim.bearer({ user: 'user_1' })), '200 user_1\n');
  assert.equal(await get({}), '401 not signed in: session-token-missing\n');
  assert.equal(await get(await sim.bearer({ user: 'user_1', spoil: 'expired' })), '401 not signed in: token-expired\n');
  assert.equal(
    await get(await sim.bearer({ user: 'user_1', spoil: 'tampered' })),
    '401 not signed in: token-invalid-signature\n',
  );

  // CommonJS and ES modules get the same class.
  writeFileSync(
    join(app, 'both.cjs'),
    "const { ClerkClient } = require('clerk-auth'); import('clerk-auth').then((m) => console.log(m.ClerkClient === ClerkClient));",
  );
  assert.equal((await run(process.execPath, ['both.cjs'], { cwd: app })).stdout, 'true\n');

  // An addon of another version is not loaded.
  const installed = join(app, 'node_modules/clerk-auth');
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ ...manifest, version: '9.8.7' }));
  const failing = (code) =>
    run(process.execPath, ['-e', code], { cwd: app }).then(assert.fail, (error) => error.stderr);
  const older = await failing("require('clerk-auth')");
  assert.match(older, /CLERK_LOAD/);
  assert.ok(older.includes(`addon version ${manifest.version} does not match package version 9.8.7`), older);
  rmSync(join(installed, 'prebuilds'), { recursive: true });
  assert.match(
    await failing("require('clerk-auth')"),
    /clerk-auth 9\.8\.7 has no addon for \w+-\w+: install clerk-auth-\w+-\w+-gnu@9\.8\.7/,
  );
  const onMusl = "process.report.getReport = () => ({ header: {} }); require('clerk-auth')";
  assert.match(await failing(onMusl), /no addon for \w+-\w+ with musl; the addons of the package are for glibc/);

  // A bundler has moved the files out of the package.
  const bundle = mkdtempSync(join(work, 'bundle-'));
  cpSync(join(root, 'lib'), join(bundle, 'lib'), { recursive: true });
  writeFileSync(join(bundle, 'package.json'), '{"name": "app", "version": "1.0.0"}');
  const bundled = await failing(`require(${JSON.stringify(join(bundle, 'lib/index.js'))})`);
  for (const line of ['--external:clerk-auth', 'commonjs clerk-auth', 'serverExternalPackages', 'rollupOptions'])
    assert.ok(bundled.includes(line), bundled);
});

test('example server: users, roles, events, webhooks', async (t) => {
  const secret = 'whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=';
  await sim.reset({ webhook_secret: secret });
  await sim.user('user_1', ADA);
  const { child, lines, url } = await serve(t, root, 'examples/server.mjs', { CLERK_WEBHOOK_SIGNING_SECRET: secret });
  const headers = await sim.bearer({ user: 'user_1' });
  assert.equal(await (await fetch(url)).text(), 'hello, guest\n');
  assert.equal(await (await fetch(url, { headers })).text(), 'hello, user_1\n');
  assert.equal((await lines.next()).value, 'created user 1');
  assert.equal((await (await fetch(`${url}/me`, { headers })).json()).key, '1');
  assert.equal((await fetch(`${url}/me`)).status, 401);
  assert.equal((await fetch(`${url}/admin`, { headers })).status, 403);
  await sim.admin('PATCH', '/users/user_1', { banned: true, updated_at: Date.now() + 60_000 });
  const webhook = await sim.admin('POST', '/webhook', { type: 'user.updated', id: 'user_1' });
  assert.equal((await fetch(`${url}/webhooks/clerk`, { method: 'POST', ...webhook })).status, 200);
  assert.equal((await fetch(`${url}/me`, { headers })).status, 403);
  assert.equal((await lines.next()).value, 'rejected: user-inactive');
  assert.equal(
    (await fetch(`${url}/webhooks/clerk`, { method: 'POST', headers: webhook.headers, body: `${webhook.body} ` }))
      .status,
    400,
  );
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('every entry point has both module kinds and types', async () => {
  const { exports, typesVersions, files, scripts, dependencies } = require('../package.json');
  assert.deepEqual(
    Object.keys(asModule)
      .filter((name) => name !== 'default' && name !== 'module.exports')
      .sort(),
    Object.keys(require('clerk-auth')).sort(),
  );
  for (const [entry, { types, default: file }] of Object.entries(exports).filter(
    ([name]) => name !== './package.json',
  )) {
    const name = entry.replace('.', 'clerk-auth');
    const required = Object.keys(require(name)).sort();
    assert.deepEqual(
      Object.keys(await import(name))
        .filter((each) => each !== 'default' && each !== 'module.exports')
        .sort(),
      required,
    );
    if (entry !== '.') assert.deepEqual(typesVersions['*'][entry.slice(2)], [types]);
    const declared = readFileSync(join(root, types), 'utf8');
    for (const each of required)
      assert.match(declared, new RegExp(`export (declare )?(class|function|const) ${each}\\b`), `${types}: ${each}`);
    readFileSync(join(root, file));
  }
  assert.equal(dependencies, undefined);
  assert.deepEqual(
    Object.keys(scripts).filter((name) => /install|prepare|publish/.test(name)),
    [],
  );
  assert.ok(files.includes('prebuilds'));
});

test('versions are pinned, and the lock file contains no host', () => {
  const { devDependencies } = require('../package.json');
  for (const [name, version] of Object.entries(devDependencies)) assert.match(version, /^\d+\.\d+\.\d+$/, name);
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  assert.doesNotMatch(lock, /"resolved"|registry\.npmjs/);
});

test('library with an older ABI is rejected with both versions', async () => {
  const stage = process.env.CLERK_STAGE ?? join(root, '../../build/stage');
  const include = join(work, 'include');
  const out = join(work, 'newer.node');
  mkdirSync(include);
  const newer = readFileSync(join(stage, 'include/clerk_auth.h'), 'utf8').replace(
    /(define CLERK_ABI_MINOR) \d+/,
    '$1 4711',
  );
  writeFileSync(join(include, 'clerk_auth.h'), newer);
  const archive = join(stage, 'lib/libclerk_auth.a');
  await run(process.execPath, ['build.mjs', '--archive', archive, '--include', include, '--out', out], { cwd: root });
  assert.throws(() => require(out), { code: 'CLERK_LOAD', message: /ABI is 0\.\d+, the addon needs 0\.4711/ });
});

test('addon exports two symbols and links no TLS library', async () => {
  const addon = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'node.napi.node');
  const { stdout: symbols } = await run('nm', ['-D', '--defined-only', addon]);
  assert.deepEqual(
    symbols.match(/\S+$/gm).sort(),
    ['napi_register_module_v1', 'node_api_module_get_api_version_v1'].filter((name) => symbols.includes(name)),
  );
  const { stdout: dynamic } = await run('readelf', ['-dW', addon]);
  assert.doesNotMatch(dynamic, /libclerk|libssl|libcrypto|RPATH|RUNPATH/);
  assert.match(dynamic, /NODELETE/);
});

const sources = readdirSync(join(root, 'src')).map((name) => [name, readFileSync(join(root, 'src', name), 'utf8')]);

test('C files are short and have no mutable static data', () => {
  for (const [name, text] of sources) {
    assert.ok(text.split('\n').length < 400, name);
    for (const line of text.split('\n')) {
      if (/^\s*static /.test(line)) assert.match(line, /^\s*static const |^\s*static [^=;]*\(/, `${name}: ${line}`);
    }
  }
});

test('C modules depend on each other without cycles', () => {
  // A module is a header and its C file.
  const includes = new Map();
  for (const [name, text] of sources) {
    const module = name.replace(/\.[ch]$/, '');
    const included = [...text.matchAll(/^#include "(\w+)\.h"/gm)].map(([, other]) => other);
    includes.set(module, [...(includes.get(module) ?? []), ...included.filter((other) => other !== module)]);
  }
  const visit = (module, path) => {
    assert.ok(!path.includes(module), [...path, module].join(' -> '));
    for (const other of includes.get(module) ?? []) visit(other, [...path, module]);
  };
  for (const module of includes.keys()) visit(module, []);
});
