'use strict';

const middleware = require('./middleware.js');

function send(ctx, { status, headers, body }) {
  ctx.status = status;
  ctx.set(headers);
  ctx.body = body;
}

function clerkMiddleware(source, middlewareOptions) {
  const clientOf = middleware.clientResolver(source);
  const options = middleware.checkMiddlewareOptions(middlewareOptions);
  return async function clerk(ctx, next) {
    const client = await clientOf(ctx);
    // `protocol` follows the setting `proxy`.
    const page = client.handshake ? { scheme: ctx.protocol, target: ctx.originalUrl } : undefined;
    const auth = await middleware.authenticate(client, ctx.req, ctx.req, page);
    ctx.state.auth = auth;
    const rejected = middleware.rejectionOfInvalid(auth, options);
    if (!client.handshake) return rejected === null ? next() : send(ctx, rejected);
    const { redirect, setCookies, cacheControl } = auth;
    if (setCookies.length > 0) ctx.append('Set-Cookie', setCookies);
    if (cacheControl !== null) ctx.set('Cache-Control', cacheControl);
    if (redirect !== null) {
      ctx.status = 307;
      ctx.set('Location', redirect);
      ctx.body = '';
      return;
    }
    if (rejected !== null) return send(ctx, rejected);
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
  middleware.checkParams(params);
  return async function clerkRequireAuth(ctx, next) {
    const rejected = middleware.rejection(getAuth(ctx), params);
    if (rejected === null) return next();
    send(ctx, rejected);
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
