'use strict';

const {
  authenticate,
  checkMiddlewareOptions,
  checkParams,
  clientResolver,
  getAuth,
  rejection,
  rejectionOfInvalid,
} = require('./middleware.js');

function clerkMiddleware(source, middlewareOptions) {
  const clientOf = clientResolver(source);
  const options = checkMiddlewareOptions(middlewareOptions);
  return async function clerk(c, next) {
    const client = await clientOf(c);
    // The context is the key: other middleware may replace `c.req.raw`.
    const auth = await authenticate(client, c.req.raw, c);
    c.set('clerkAuth', auth);
    const rejected = rejectionOfInvalid(auth, options);
    if (!client.handshake) {
      return rejected === null ? next() : c.json(rejected.body, rejected.status, rejected.headers);
    }
    const addCookies = () => {
      for (const line of auth.setCookies) c.header('Set-Cookie', line, { append: true });
      if (auth.cacheControl !== null) c.header('Cache-Control', auth.cacheControl);
    };
    if (auth.redirect !== null) {
      addCookies();
      return c.redirect(auth.redirect, 307);
    }
    if (rejected !== null) {
      addCookies();
      return c.json(rejected.body, rejected.status, rejected.headers);
    }
    await next();
    addCookies();
  };
}

function requireAuth(params) {
  checkParams(params);
  return async function clerkRequireAuth(c, next) {
    const rejected = rejection(getAuth(c), params);
    return rejected === null ? next() : c.json(rejected.body, rejected.status, rejected.headers);
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
