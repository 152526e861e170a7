'use strict';

const { authenticate, getAuth, rejection, resolveClient } = require('./middleware.js');

function clerkMiddleware(clientOrOptions) {
  const client = resolveClient(clientOrOptions);
  return async function clerk(c, next) {
    // The context is the key: other middleware may replace `c.req.raw`.
    const auth = await authenticate(client, c.req.raw, c);
    c.set('clerkAuth', auth);
    if (!client.handshake) return next();
    const addCookies = () => {
      for (const line of auth.setCookies) c.header('Set-Cookie', line, { append: true });
      if (auth.cacheControl !== null) c.header('Cache-Control', auth.cacheControl);
    };
    if (auth.redirect !== null) {
      addCookies();
      return c.redirect(auth.redirect, 307);
    }
    await next();
    addCookies();
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
