'use strict';
// Converts options in camel case to the addon's settings.

const { ENVIRONMENT, SETTINGS } = require('./enums.js');
const { isPlainObject } = require('./is-plain-object.js');

// Options of this package, which are not settings of the library.
const PACKAGE_OPTIONS = new Set(['env', 'users', 'storeTimeoutMs', 'clock']);

const DEFAULT_TIMEOUT_MS = 5000;
const DEFAULT_CACHE_CAPACITY = 10_000;
const ROW_CHECK_TTL_S = 5;

/** Returns the `[function, name, value]` calls that set one option. */
function toSettings(option, value) {
  const name = SETTINGS.get(option);
  const typeError = (expected) => new TypeError(`options.${option} must be ${expected}`);
  if (option === 'handshake' && typeof value === 'boolean') return [['set', name, value ? 'on' : 'off']];
  switch (typeof value) {
    case 'string':
      return [['set', name, value]];
    case 'boolean':
      return [['int', name, Number(value)]];
    case 'number':
      if (!Number.isSafeInteger(value)) throw typeError('an integer');
      return [['int', name, value]];
    default:
      if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
        throw typeError('a string, a number, a boolean or an array of strings');
      }
      return [['set', name, ''], ...value.map((item) => ['add', name, item])];
  }
}

// Read here, not by the library: `getenv` in a worker races with `setenv` in the main thread.
/** Returns the options, completed from the environment. */
function withEnvironment(options) {
  const all = { ...options };
  if (options.env === false) return all;
  const environment = typeof options.env === 'object' && options.env !== null ? options.env : process.env;
  for (const [variable, option] of Object.entries(ENVIRONMENT)) {
    if (environment[variable]) all[option] ??= environment[variable];
  }
  return all;
}

/** An object without own properties, such as the client of another copy of this package, would pass for empty options. */
function checkOptions(options) {
  if (!isPlainObject(options))
    throw new TypeError('options must be an object of settings, or a ClerkClient of this package');
}

function parseOptions(options) {
  checkOptions(options);
  for (const option of Object.keys(options)) {
    if (!SETTINGS.has(option) && !PACKAGE_OPTIONS.has(option))
      throw new TypeError(`options.${option} is not a setting`);
  }
  const all = withEnvironment(options);
  // Without a TTL every request would query the table, and `authenticateCached` would never have a result.
  if (all.users) all.rowCheckTtlS ??= ROW_CHECK_TTL_S;
  const settings = [];
  for (const option of SETTINGS.keys()) {
    if (all[option] !== undefined && all[option] !== null) settings.push(...toSettings(option, all[option]));
  }
  const timeoutMs = Number(all.timeoutMs) || DEFAULT_TIMEOUT_MS;
  const storeTimeoutMs = all.storeTimeoutMs ?? timeoutMs;
  if (!Number.isSafeInteger(all.storeTimeoutMs ?? 1) || !(storeTimeoutMs > 0 && storeTimeoutMs <= 600_000)) {
    throw new TypeError('options.storeTimeoutMs must be an integer from 1 to 600000');
  }
  if (all.clock !== undefined && !Number.isSafeInteger(all.clock?.nowMs)) {
    throw new TypeError('options.clock.nowMs must be an integer');
  }
  const handshake = all.handshake === true || all.handshake === 'on';
  const cacheCapacity = Number(all.cacheCapacity) || DEFAULT_CACHE_CAPACITY;
  return { settings, timeoutMs, storeTimeoutMs, cacheCapacity, clock: all.clock, handshake };
}

module.exports = { parseOptions, checkOptions };
