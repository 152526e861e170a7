// A registry of the packed packages on the loopback interface: `node registry.mjs FOLDER` prints its URL. Everything else is 404,
// so that nothing comes from elsewhere.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = process.argv[2];
const packages = new Map();
for (const file of readdirSync(folder).filter((name) => name.endsWith('.tgz'))) {
  const data = readFileSync(join(folder, file));
  const text = execFileSync('tar', ['-xzOf', join(folder, file), 'package/package.json'], { encoding: 'utf8' });
  const manifest = JSON.parse(text);
  packages.set(manifest.name, { file, data, manifest });
}

// The packages of other platforms are published from there; yarn needs to know them.
const { optionalDependencies } = packages.get('clerk-auth').manifest;
for (const [name, version] of Object.entries(optionalDependencies)) {
  if (packages.has(name)) continue;
  const cpu = /-(\w+)-gnu$/.exec(name)[1];
  const manifest = { name, version, os: ['linux'], cpu: [cpu], libc: ['glibc'] };
  const elsewhere = mkdtempSync(join(tmpdir(), 'clerk-auth-platform-'));
  mkdirSync(join(elsewhere, 'package'));
  writeFileSync(join(elsewhere, 'package/package.json'), JSON.stringify(manifest));
  const data = execFileSync('tar', ['-czC', elsewhere, 'package']);
  rmSync(elsewhere, { recursive: true });
  packages.set(name, { file: `${name}-${version}.tgz`, data, manifest });
}

const server = http.createServer((req, res) => {
  const name = decodeURIComponent(req.url.slice(1));
  const tarball = [...packages.values()].find(({ file }) => name === `files/${file}`);
  if (tarball !== undefined) return res.end(tarball.data);
  const found = packages.get(name);
  res.setHeader('Content-Type', 'application/json');
  if (found === undefined) return res.writeHead(404).end('{"error":"not_found"}');
  const { manifest, file, data } = found;
  const dist = {
    tarball: `${url}/files/${file}`,
    integrity: `sha512-${createHash('sha512').update(data).digest('base64')}`,
    shasum: createHash('sha1').update(data).digest('hex'),
  };
  const { version } = manifest;
  res.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions: { [version]: { ...manifest, dist } } }));
});
let url;
server.listen(0, '127.0.0.1', () => {
  url = `http://127.0.0.1:${server.address().port}`;
  console.log(url);
});
// Ends with the script that started it.
process.stdin.resume().on('end', () => process.exit());
