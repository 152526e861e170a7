'use strict';
// Shared by the middleware of all frameworks.

const { ClerkClient } = require('./client.js');
const { ClerkError } = require('./errors.js');
const { isPlainObject } = require('./is-plain-object.js');
const native = require('./native.js');

const auths = new WeakMap();
let defaultClient = null;

/** Returns the given client, a client with the given settings, or the default client, which is created on first use. */
function resolveClient(clientOrOptions) {
  if (clientOrOptions instanceof ClerkClient) return clientOrOptions;
  if (clientOrOptions !== undefined) return new ClerkClient(clientOrOptions);
  defaultClient ??= new ClerkClient();
  return defaultClient;
}

/** Returns a function that returns the client of a request: one for all, or what the application's function returns. */
function clientResolver(source) {
  if (typeof source === 'function') {
    return async (request) => {
      const client = await source(request);
      if (client instanceof ClerkClient) return client;
      throw new TypeError('the function that clerkMiddleware was called with must return a ClerkClient');
    };
  }
  // Invalid settings are reported when the server starts; the default client reads the environment on the first request.
  const client = source === undefined ? undefined : resolveClient(source);
  return () => client ?? resolveClient();
}

/** Checks the options of a middleware. */
function checkMiddlewareOptions(options) {
  if (options === undefined) return { rejectInvalid: false };
  if (!isPlainObject(options))
    throw new TypeError('the second argument of clerkMiddleware must be an object of options');
  for (const [name, value] of Object.entries(options)) {
    if (name !== 'rejectInvalid') throw new TypeError(`options.${name} is not an option of clerkMiddleware`);
    if (typeof value !== 'boolean') throw new TypeError('options.rejectInvalid must be a boolean');
  }
  return { rejectInvalid: false, ...options };
}

const TOKEN_TYPES = native.tokenTypes.filter((type) => typeof type === 'string');
const CHECKS = ['role', 'permission', 'feature', 'plan'];

/**
 * Checks the argument of requireAuth when the route is made: a check that cannot be evaluated would reject every request, and one
 * that is misspelled might accept too many.
 */
function checkParams(params) {
  if (params === undefined) return;
  if (!isPlainObject(params))
    throw new TypeError('requireAuth must be called without an argument, or with an object of checks');
  const names = Object.keys(params);
  if (names.length === 0)
    throw new TypeError('requireAuth({}) checks nothing: call it without an argument, or with a check');
  for (const name of names) {
    const value = params[name];
    if (CHECKS.includes(name)) {
      if (typeof value !== 'string' || value === '') throw new TypeError(`requireAuth: ${name} must be a string`);
    } else if (name === 'reverification') {
      checkReverification(value);
    } else if (name === 'acceptsToken') {
      const types = [value].flat();
      if (types.length === 0 || !types.every((type) => type === 'any' || TOKEN_TYPES.includes(type)))
        throw new TypeError(`requireAuth: acceptsToken must be 'any' or among ${TOKEN_TYPES.join(', ')}`);
    } else {
      throw new TypeError(
        `requireAuth: ${name} is not a check; there are ${[...CHECKS, 'reverification', 'acceptsToken'].join(', ')}`,
      );
    }
  }
}

const REVERIFICATION = ['strict_mfa', 'strict', 'moderate', 'lax'];
const FACTORS = ['first_factor', 'second_factor', 'multi_factor'];

function checkReverification(value) {
  const isCustom = isPlainObject(value) && FACTORS.includes(value.level) && Number.isSafeInteger(value.afterMinutes);
  if (!REVERIFICATION.includes(value) && !(isCustom && value.afterMinutes > 0))
    throw new TypeError(`reverification must be one of ${REVERIFICATION.join(', ')}, or {level, afterMinutes}`);
}

/**
 * Authenticates Node's or Fetch's own request: a framework's object may have its headers elsewhere. Stores the result under
 * `key`, an object that lives as long as the request.
 */
async function authenticate(client, request, key = request, page = undefined) {
  const auth = await client.authenticate(request, page);
  auths.set(key, auth);
  return auth;
}

/**
 * Adds the cookies of a handshake to Node's response. With a redirect, sends the response and returns true: the handler must not
 * be called.
 */
function respondToPage(client, auth, res) {
  if (!client.handshake) return false;
  addCookies(auth, res);
  const location = auth.redirect;
  if (location === null) return false;
  res.statusCode = 307;
  res.setHeader('Location', location);
  res.end();
  return true;
}

function addCookies(auth, res) {
  const lines = auth.setCookies;
  if (lines.length > 0) res.setHeader('Set-Cookie', [res.getHeader('Set-Cookie') ?? [], lines].flat());
  if (auth.cacheControl !== null) res.setHeader('Cache-Control', auth.cacheControl);
}

/** Returns the result stored under `key`. Throws `CLERK_NO_MIDDLEWARE` if there is none. */
function getAuth(key) {
  const auth = typeof key === 'object' && key !== null ? auths.get(key) : undefined;
  if (auth === undefined) {
    throw new ClerkError(
      'CLERK_NO_MIDDLEWARE',
      'the request was not authenticated: register clerkMiddleware() before this handler',
    );
  }
  return auth;
}

/** Returns the response that rejects the request, as `{status, headers, body}`; null if the request is authorized. */
function rejection(auth, params) {
  if (!auth.isAuthenticated) return unauthenticated(auth);
  if (params === undefined) return null;
  const { acceptsToken, ...checks } = params;
  const types = acceptsToken === undefined ? ['any'] : [acceptsToken].flat();
  if (!types.includes('any') && !types.includes(auth.tokenType))
    return response(401, 'token-type-not-supported', { 'WWW-Authenticate': 'Bearer error="invalid_token"' });
  const { reverification, ...others } = checks;
  if (Object.keys(others).length > 0 && !auth.has(others)) return forbidden('forbidden');
  // The form that Clerk's frontend libraries respond to by asking for the factor again.
  if (reverification !== undefined && !auth.has({ reverification }))
    return forbidden(
      { type: 'forbidden', reason: 'reverification-error', metadata: { reverification } },
      'clerk_error',
    );
  return null;
}

function forbidden(error, member) {
  return response(403, error, { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' }, member);
}

/** Returns the response to a request with an invalid token, or whose result is unavailable; null for one without a credential. */
function rejectionOfInvalid(auth, { rejectInvalid }) {
  const isInvalid = (auth.status === 'signed-out' && !auth.isAnonymous) || auth.status === 'unavailable';
  return rejectInvalid && isInvalid ? unauthenticated(auth) : null;
}

function unauthenticated(auth) {
  const headers = {};
  const location = auth.redirect;
  if (location !== null) return response(307, auth.publicReason, { Location: location });
  const challenge = auth.challenge();
  if (challenge !== null) headers['WWW-Authenticate'] = challenge;
  if (auth.status === 'unavailable' && auth.retryAfterMs !== null) {
    headers['Retry-After'] = String(Math.ceil(auth.retryAfterMs / 1000));
  }
  return response(auth.httpStatus, auth.publicReason, headers);
}

function response(status, error, headers, member = 'error') {
  return { status, headers: { ...headers, 'Cache-Control': 'no-store' }, body: { [member]: error } };
}

module.exports = {
  authenticate,
  checkMiddlewareOptions,
  checkParams,
  clientResolver,
  getAuth,
  rejection,
  rejectionOfInvalid,
  resolveClient,
  respondToPage,
};
