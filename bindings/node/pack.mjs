// Packs the packages of the registry into build/npm: `node pack.mjs [--out DIR]`. Run `make pack-node` at the top.
//
// clerk-auth has no addon itself: npm installs the optional package of the platform. Packages of other platforms are made the
// same way there: `node build.mjs && node pack.mjs`.
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const { PLATFORMS, platformPackage } = createRequire(import.meta.url)('./lib/platforms.js');
const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'build/npm') } } });
const out = resolve(values.out);

const manifest = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
const own = platformPackage();
const addon = join(here, 'prebuilds', `${process.platform}-${process.arch}`, 'node.napi.node');
if (own === undefined)
  throw new Error(`there is no package for ${process.platform}-${process.arch} with this C library`);
if (!existsSync(addon)) throw new Error(`${addon} is missing: run \`node build.mjs\` first`);

const { version, license, repository, bugs, homepage, engines } = manifest;
const common = { version, license, repository, bugs, homepage, engines };

function folder(name) {
  const path = join(out, name);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  for (const file of ['LICENSE-APACHE', 'LICENSE-MIT']) copyFileSync(join(root, file), join(path, file));
  return path;
}

function pack(path, published) {
  writeFileSync(join(path, 'package.json'), `${JSON.stringify(published, null, 2)}\n`);
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', out];
  console.log(join(out, execFileSync('npm', args, { cwd: path, encoding: 'utf8' }).trim()));
}

/** Links of the README that work on the registry's page. */
function absoluteLinks(readme) {
  const base = `${repository.url.replace(/^git\+|\.git$/g, '')}/blob/v${version}/`;
  return readme.replace(/\]\((?!https?:|#)([^)]+)\)/g, (_, link) => {
    const [path, fragment] = link.split('#');
    const absolute = new URL(path, `${base}bindings/node/`).href.replace(/\/$/, '');
    return `](${absolute}${fragment === undefined ? '' : `#${fragment}`})`;
  });
}

const main = folder('clerk-auth');
for (const name of ['lib', 'examples']) cpSync(join(here, name), join(main, name), { recursive: true });
writeFileSync(join(main, 'README.md'), absoluteLinks(readFileSync(join(here, 'README.md'), 'utf8')));
const { devDependencies, scripts, ...rest } = manifest;
pack(main, {
  ...rest,
  files: rest.files.filter((name) => name !== 'prebuilds'),
  optionalDependencies: Object.fromEntries(Object.keys(PLATFORMS).map((name) => [name, version])),
});

const platform = folder(own);
copyFileSync(addon, join(platform, 'node.napi.node'));
writeFileSync(
  join(platform, 'README.md'),
  `# ${own}\n\nThe addon of [clerk-auth](${homepage}) for this platform. Install \`clerk-auth\`, which depends on it.\n`,
);
pack(platform, {
  name: own,
  description: `The addon of clerk-auth for ${own.replace('clerk-auth-', '')}`,
  ...common,
  main: 'node.napi.node',
  files: ['node.napi.node', 'README.md', 'LICENSE-APACHE', 'LICENSE-MIT'],
  ...PLATFORMS[own],
});
