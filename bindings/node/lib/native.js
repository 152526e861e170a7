'use strict';
// Loads the addon and checks that it belongs to this version of the package.

const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { version } = require('../package.json');
const { ClerkError } = require('./errors.js');

function load() {
  const platform = `${process.platform}-${process.arch}`;
  const file = join(__dirname, '..', 'prebuilds', platform, 'node.napi.node');
  if (!existsSync(file)) {
    throw new ClerkError('CLERK_LOAD', `clerk-auth ${version} has no addon for ${platform}: ${file} does not exist`);
  }
  let native;
  try {
    native = require(file);
  } catch (cause) {
    const message = `failed to load the addon of clerk-auth ${version}: ${cause.message}`;
    throw new ClerkError('CLERK_LOAD', message, { cause });
  }
  if (native.packageVersion !== version) {
    const message = `addon version ${native.packageVersion} does not match package version ${version}: ${file}`;
    throw new ClerkError('CLERK_LOAD', message);
  }
  return native;
}

const native = load();

// A thread that waits for Clerk would delay the exit.
process.once('exit', () => native.shutdownAll());

module.exports = native;
