'use strict';
// Shared by the middleware of all frameworks.

const { ClerkClient } = require('./client.js');
const { ClerkError } = require('./errors.js');

const auths = new WeakMap();
let defaultClient = null;

/** Returns the given client, a client with the given settings, or the default client. */
function resolveClient(clientOrOptions) {
  if (clientOrOptions instanceof ClerkClient) return clientOrOptions;
  if (clientOrOptions !== undefined) return new ClerkClient(clientOrOptions);
  defaultClient ??= new ClerkClient();
  return defaultClient;
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
  if (auth.isAuthenticated) {
    if (params === undefined || auth.has(params)) return null;
    return response(403, 'forbidden', { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' });
  }
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

function response(status, error, headers) {
  return { status, headers: { ...headers, 'Cache-Control': 'no-store' }, body: { error } };
}

module.exports = { authenticate, getAuth, rejection, resolveClient, respondToPage };
