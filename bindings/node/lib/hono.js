'use strict';

const { authenticate, getAuth, rejection, resolveClient } = require('./middleware.js');

function clerkMiddleware(clientOrOptions) {
  const client = resolveClient(clientOrOptions);
  return async function clerk(c, next) {
    // The context is the key: other middleware may replace `c.req.raw`.
    c.set('clerkAuth', await authenticate(client, c.req.raw, c));
    return next();
  };
}

function requireAuth(params) {
  return async function clerkRequireAuth(c, next) {
    const rejected = rejection(getAuth(c), params);
    return rejected === null ? next() : c.json(rejected.body, rejected.status, rejected.headers);
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
