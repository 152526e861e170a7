'use strict';
// From options in JavaScript's spelling to what the addon takes. The names come from the library.

const native = require('./native.js');
const { isPlain } = require('./plain.js');

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const SETTINGS = new Map(native.settings.map((name) => [camel(name), name]));

// Read here and not by the library: `getenv` in a worker could meet `setenv` in the main thread.
const ENVIRONMENT = {
  CLERK_SECRET_KEY: 'secretKey',
  CLERK_PUBLISHABLE_KEY: 'publishableKey',
  CLERK_JWT_KEY: 'jwtKey',
  CLERK_MACHINE_SECRET_KEY: 'machineSecretKey',
  CLERK_API_URL: 'apiUrl',
  CLERK_AUTH_PARTIES: 'authorizedParties',
  CLERK_AUDIENCE: 'audience',
  CLERK_CLOCK_SKEW_IN_MS: 'clockSkewMs',
  CLERK_TIMEOUT_MS: 'timeoutMs',
  CLERK_CACHE_TIMEOUT: 'cacheTtlS',
  CLERK_WEBHOOK_SIGNING_SECRET: 'webhookSecrets',
};

// What an option may be that is no setting of the library.
const OWN = new Set(['env', 'users', 'storeTimeoutMs', 'clock']);

const DEFAULT_TIMEOUT_MS = 5000;
const RECHECK_S = 5;

function entries(option, value) {
  const name = SETTINGS.get(option);
  const wrong = (what) => new TypeError(`options.${option} must be ${what}`);
  switch (typeof value) {
    case 'string':
      return [['set', name, value]];
    case 'boolean':
      return [['int', name, Number(value)]];
    case 'number':
      if (!Number.isSafeInteger(value)) throw wrong('a whole number');
      return [['int', name, value]];
    default:
      if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
        throw wrong('a string, a number, a boolean or an array of strings');
      }
      return [['set', name, ''], ...value.map((item) => ['add', name, item])];
  }
}

/** The options with the environment's settings where there are no own ones. */
function withEnvironment(options) {
  const all = { ...options };
  if (options.env === false) return all;
  const environment = typeof options.env === 'object' && options.env !== null ? options.env : process.env;
  for (const [variable, option] of Object.entries(ENVIRONMENT)) {
    if (environment[variable]) all[option] ??= environment[variable];
  }
  return all;
}

/** What hides its properties, such as the client of another copy of this package, would pass for no options at all. */
function checkPlain(options) {
  if (!isPlain(options)) throw new TypeError('options must be an object of settings, or a ClerkClient of this package');
}

function read(options) {
  checkPlain(options);
  for (const option of Object.keys(options)) {
    if (!SETTINGS.has(option) && !OWN.has(option)) throw new TypeError(`options.${option} is no setting`);
  }
  const all = withEnvironment(options);
  // With a store an event loop can answer from memory only if the store's word counts for a moment.
  if (all.users) all.rowCheckTtlS ??= RECHECK_S;
  const settings = [];
  for (const option of SETTINGS.keys()) {
    if (all[option] !== undefined && all[option] !== null) settings.push(...entries(option, all[option]));
  }
  const timeoutMs = Number(all.timeoutMs) || DEFAULT_TIMEOUT_MS;
  const storeTimeoutMs = all.storeTimeoutMs ?? timeoutMs;
  if (!Number.isSafeInteger(all.storeTimeoutMs ?? 1) || !(storeTimeoutMs > 0 && storeTimeoutMs <= 600_000)) {
    throw new TypeError('options.storeTimeoutMs must be a whole number from 1 to 600000');
  }
  if (all.clock !== undefined && !Number.isSafeInteger(all.clock?.nowMs)) {
    throw new TypeError('options.clock.nowMs must be a whole number');
  }
  return { settings, timeoutMs, storeTimeoutMs, clock: all.clock };
}

module.exports = { read, checkPlain, SETTINGS, ENVIRONMENT };
