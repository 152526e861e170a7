'use strict';
// Loads the addon and checks that it belongs to this version of the package.

const { existsSync, readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { version } = require('../package.json');
const { ClerkError } = require('./errors.js');
const { isMusl, platformPackage } = require('./platforms.js');

const EXTERNAL = `clerk-auth ${version} has an addon, which bundlers cannot include: mark the package as external, and deploy \
node_modules with the bundle.
  esbuild: --external:clerk-auth
  webpack: externals: { 'clerk-auth': 'commonjs clerk-auth' }
  Next.js: serverExternalPackages: ['clerk-auth']
  Vite: ssr: { external: ['clerk-auth'] }, build: { rollupOptions: { external: ['clerk-auth'] } }`;

/** Returns the folder of this package, or undefined if a bundler has moved this file out of it. */
function packageFolder() {
  if (typeof __dirname !== 'string') return undefined;
  const folder = join(__dirname, '..');
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name === 'clerk-auth' ? folder : undefined;
  } catch {
    return undefined;
  }
}

function describePlatform(platform) {
  const note = '; the addons of the package are for glibc: use an image such as node:22-slim, not node:22-alpine';
  return isMusl() ? `${platform} with musl${note}` : platform;
}

function load() {
  const platform = `${process.platform}-${process.arch}`;
  const folder = packageFolder();
  if (folder === undefined) throw new ClerkError('CLERK_LOAD', EXTERNAL);
  const file = findAddon(folder, platform);
  if (file === undefined) {
    const message = `clerk-auth ${version} has no addon for ${describePlatform(platform)}: ${howToGetIt(folder, platform)}`;
    throw new ClerkError('CLERK_LOAD', message);
  }
  let native;
  try {
    native = loadAddon(file);
  } catch (cause) {
    const message = `failed to load the addon of clerk-auth ${version} on ${describePlatform(platform)}: ${cause.message}`;
    throw new ClerkError('CLERK_LOAD', message, { cause });
  }
  if (native.packageVersion !== version) {
    const message = `addon version ${native.packageVersion} does not match package version ${version}: ${file}`;
    throw new ClerkError('CLERK_LOAD', message);
  }
  return native;
}

/** Returns the addon that was built in this folder, or that of the platform's package. */
function findAddon(folder, platform) {
  const built = join(folder, 'prebuilds', platform, 'node.napi.node');
  if (existsSync(built)) return built;
  const name = `clerk-auth-${platform}-gnu`;
  try {
    return createRequire(join(folder, 'package.json')).resolve(name);
  } catch {
    return undefined;
  }
}

function howToGetIt(folder, platform) {
  const name = platformPackage();
  if (name !== undefined)
    return `install ${name}@${version}, an optional dependency that was left out (--no-optional, or a lock file of another platform)`;
  return `build it from source with a C compiler and Rust (${join(folder, 'README.md')}, "Building"), as prebuilds/${platform}/node.napi.node`;
}

/** Loads a file that bundlers do not try to resolve. */
function loadAddon(file) {
  return createRequire(file)(file);
}

const native = load();

// A thread that waits for Clerk would delay the exit.
process.once('exit', () => native.shutdownAll());

module.exports = native;
