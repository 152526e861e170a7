'use strict';
// What all frameworks' middlewares share: whose client, which request has which answer, and how it is refused.

const { ClerkClient } = require('./client.js');
const { ClerkError } = require('./errors.js');

const answers = new WeakMap();
let shared = null;

/** A client as it is, or one made from options; without either, one that all share. */
function clientOf(given) {
  if (given instanceof ClerkClient) return given;
  if (given !== undefined) return new ClerkClient(given);
  shared ??= new ClerkClient();
  return shared;
}

/** Node's request itself is looked at, or Fetch's: frameworks' own objects stand in front of it. The answer is kept with
 * what lasts as long as the request does. */
async function attach(client, request, keeper = request) {
  const auth = await client.authenticate(request);
  answers.set(keeper, auth);
  return auth;
}

function attached(keeper) {
  const auth = typeof keeper === 'object' && keeper !== null ? answers.get(keeper) : undefined;
  if (auth === undefined) {
    throw new ClerkError(
      'CLERK_NO_MIDDLEWARE',
      'this request was not authenticated: clerkMiddleware() has to come before',
    );
  }
  return auth;
}

/** How to refuse the request: `{status, headers, body}`, or null if it may pass. */
function refusal(auth, demands) {
  if (auth.isAuthenticated) {
    if (demands === undefined || auth.has(demands)) return null;
    return answer(403, 'forbidden', { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' });
  }
  const headers = {};
  const challenge = auth.challenge();
  if (challenge !== null) headers['WWW-Authenticate'] = challenge;
  if (auth.status === 'unavailable' && auth.retryAfterMs !== null) {
    headers['Retry-After'] = String(Math.ceil(auth.retryAfterMs / 1000));
  }
  return answer(auth.httpStatus, auth.reason, headers);
}

function answer(status, error, headers) {
  return { status, headers: { ...headers, 'Cache-Control': 'no-store' }, body: { error } };
}

module.exports = { clientOf, attach, attached, refusal };
