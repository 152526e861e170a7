'use strict';
// Loads the addon and checks that it belongs to this version of the package.

const { existsSync, readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { version } = require('../package.json');
const { ClerkError } = require('./errors.js');

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

/** Returns whether Node runs on musl, as on Alpine Linux. Slow: only for messages. */
function isMusl() {
  if (process.platform !== 'linux') return false;
  const report = process.report?.getReport();
  return report !== undefined && report.header.glibcVersionRuntime === undefined;
}

function describePlatform(platform) {
  const note = '; the addons of the package are for glibc: use an image such as node:22-slim, not node:22-alpine';
  return isMusl() ? `${platform} with musl${note}` : platform;
}

function load() {
  const platform = `${process.platform}-${process.arch}`;
  const folder = packageFolder();
  if (folder === undefined) throw new ClerkError('CLERK_LOAD', EXTERNAL);
  const file = join(folder, 'prebuilds', platform, 'node.napi.node');
  if (!existsSync(file)) {
    const message = `clerk-auth ${version} has no addon for ${describePlatform(platform)}: ${file} does not exist`;
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

/** Loads a file that bundlers do not try to resolve. */
function loadAddon(file) {
  return createRequire(file)(file);
}

const native = load();

// A thread that waits for Clerk would delay the exit.
process.once('exit', () => native.shutdownAll());

module.exports = native;
