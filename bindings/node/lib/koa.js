'use strict';

const middleware = require('./middleware.js');

function clerkMiddleware(clientOrOptions) {
  const client = middleware.resolveClient(clientOrOptions);
  return async function clerk(ctx, next) {
    // `protocol` follows the setting `proxy`.
    const page = client.handshake ? { scheme: ctx.protocol, target: ctx.originalUrl } : undefined;
    const auth = await middleware.authenticate(client, ctx.req, ctx.req, page);
    ctx.state.auth = auth;
    if (!client.handshake) return next();
    const { redirect, setCookies, cacheControl } = auth;
    if (setCookies.length > 0) ctx.append('Set-Cookie', setCookies);
    if (cacheControl !== null) ctx.set('Cache-Control', cacheControl);
    if (redirect !== null) {
      ctx.status = 307;
      ctx.set('Location', redirect);
      ctx.body = '';
      return;
    }
    try {
      return await next();
    } catch (error) {
      // Koa removes all headers from the response to an error but those of the error.
      if (setCookies.length > 0 && error instanceof Error) {
        error.headers = { 'Cache-Control': cacheControl, ...error.headers, 'Set-Cookie': setCookies };
      }
      throw error;
    }
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
