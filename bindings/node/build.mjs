// Builds the addon with the system's C compiler: `node build.mjs [--archive FILE] [--include DIR]`.
//
// `--glibc 2.28` builds with zig (the Python package ziglang), so that the addon runs on that version of glibc and newer.
//
// Without options it links the library of CLERK_STAGE, of this repository (`make stage` at its top) or of pkg-config.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);

const { values } = parseArgs({
  options: {
    archive: { type: 'string' },
    include: { type: 'string' },
    out: { type: 'string' },
    glibc: { type: 'string' },
  },
});

function pkgConfig(...args) {
  try {
    return execFileSync('pkg-config', [...args, 'clerk-auth'], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

function library() {
  if (values.archive) return { archive: values.archive, include: values.include ?? join(here, '../../include') };
  const stages = [process.env.CLERK_STAGE, join(here, '../../build/stage')].filter(Boolean);
  for (const stage of stages) {
    const archive = join(stage, 'lib/libclerk_auth.a');
    if (existsSync(archive)) return { archive, include: join(stage, 'include') };
  }
  const libdir = pkgConfig('--variable=libdir');
  if (libdir) return { archive: join(libdir, 'libclerk_auth.a'), include: pkgConfig('--variable=includedir') };
  throw new Error(
    'libclerk_auth.a not found: run `make stage` at the top of the repository, or pass --archive and --include',
  );
}

const { archive, include } = library();
const { version } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
const out = values.out ?? join(here, 'prebuilds', `${process.platform}-${process.arch}`, 'node.napi.node');
const sources = readdirSync(join(here, 'src')).filter((name) => name.endsWith('.c'));

const architectures = { x64: 'x86_64', arm64: 'aarch64' };
const [compiler, ...prefix] =
  values.glibc === undefined
    ? [process.env.CC ?? 'cc']
    : [process.env.PYTHON ?? 'python3', '-m', 'ziglang', 'cc', '-target'].concat(
        `${architectures[process.arch]}-linux-gnu.${values.glibc}`,
      );

mkdirSync(dirname(out), { recursive: true });
execFileSync(
  compiler,
  [
    ...prefix,
    '-std=c11',
    '-D_GNU_SOURCE',
    '-O2',
    '-fPIC',
    '-shared',
    '-fvisibility=hidden',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-DNAPI_VERSION=8',
    `-DCLERK_NODE_VERSION="${version}"`,
    `-I${include}`,
    `-I${require('node-api-headers').include_dir}`,
    ...sources.map((name) => join(here, 'src', name)),
    archive,
    values.glibc === undefined ? '-lgcc_s' : '-lunwind',
    '-lpthread',
    '-lm',
    '-ldl',
    '-Wl,--gc-sections',
    `-Wl,--version-script=${join(here, 'src/exports.map')}`,
    '-Wl,-z,nodelete',
    '-s',
    '-o',
    out,
  ],
  { stdio: 'inherit' },
);
// The package contains the licences, which the repository keeps at its top.
for (const name of ['LICENSE-APACHE', 'LICENSE-MIT']) copyFileSync(join(here, '../..', name), join(here, name));
console.log(`built ${out}`);
