'use strict';

const { attach, attached, clientOf, refusal } = require('./gate.js');

function clerkMiddleware(options) {
  const client = clientOf(options);
  return async function clerk(ctx, next) {
    ctx.state.auth = await attach(client, ctx.req);
    return next();
  };
}

function getAuth(ctx) {
  return attached(ctx?.req);
}

function requireAuth(demands) {
  return async function clerkRequireAuth(ctx, next) {
    const no = refusal(getAuth(ctx), demands);
    if (no === null) return next();
    ctx.status = no.status;
    ctx.set(no.headers);
    ctx.body = no.body;
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
