'use strict';

const { attach, attached, clientOf, refusal } = require('./gate.js');

/** Other middleware puts other requests into `c.req.raw`: the context stays. */
function clerkMiddleware(options) {
  const client = clientOf(options);
  return async function clerk(c, next) {
    c.set('clerkAuth', await attach(client, c.req.raw, c));
    return next();
  };
}

function getAuth(c) {
  return attached(c);
}

function requireAuth(demands) {
  return async function clerkRequireAuth(c, next) {
    const no = refusal(getAuth(c), demands);
    return no === null ? next() : c.json(no.body, no.status, no.headers);
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
