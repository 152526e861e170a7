'use strict';

const middleware = require('./middleware.js');

function clerkMiddleware(clientOrOptions) {
  const client = middleware.resolveClient(clientOrOptions);
  return async function clerk(ctx, next) {
    ctx.state.auth = await middleware.authenticate(client, ctx.req);
    return next();
  };
}

function getAuth(ctx) {
  return middleware.getAuth(ctx?.req);
}

function requireAuth(params) {
  return async function clerkRequireAuth(ctx, next) {
    const rejected = middleware.rejection(getAuth(ctx), params);
    if (rejected === null) return next();
    ctx.status = rejected.status;
    ctx.set(rejected.headers);
    ctx.body = rejected.body;
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
