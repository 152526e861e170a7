'use strict';
// The addon, and whether it is the one that this package was made with.

const { existsSync } = require('node:fs');
const { join } = require('node:path');
const { version } = require('../package.json');
const { ClerkError } = require('./errors.js');

function load() {
  const platform = `${process.platform}-${process.arch}`;
  const file = join(__dirname, '..', 'prebuilds', platform, 'node.napi.node');
  if (!existsSync(file)) {
    throw new ClerkError('CLERK_LOAD', `clerk-auth ${version} has no addon for ${platform}: ${file} is missing`);
  }
  let native;
  try {
    native = require(file);
  } catch (cause) {
    const message = `the addon of clerk-auth ${version} cannot be loaded: ${cause.message}`;
    throw new ClerkError('CLERK_LOAD', message, { cause });
  }
  if (native.builtFor !== version) {
    throw new ClerkError(
      'CLERK_LOAD',
      `the addon is of clerk-auth ${native.builtFor}, the package of ${version}: ${file}`,
    );
  }
  return native;
}

const native = load();

// A thread that waits for Clerk would hold up the end of the process.
process.once('exit', () => native.shutdownAll());

module.exports = native;
