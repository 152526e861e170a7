'use strict';

const {
  authenticate,
  checkMiddlewareOptions,
  checkParams,
  clientResolver,
  getAuth,
  rejection,
  rejectionOfInvalid,
  respondToPage,
} = require('./middleware.js');

function send(res, { status, headers, body }) {
  res.status(status).set(headers).json(body);
}

function clerkMiddleware(source, middlewareOptions) {
  const clientOf = clientResolver(source);
  const options = checkMiddlewareOptions(middlewareOptions);
  async function handle(req, res) {
    const client = await clientOf(req);
    // `protocol` follows the setting `trust proxy`.
    const page = client.handshake ? { scheme: req.protocol, target: req.originalUrl } : undefined;
    const auth = await authenticate(client, req, req, page);
    if (respondToPage(client, auth, res)) return true;
    const rejected = rejectionOfInvalid(auth, options);
    if (rejected !== null) send(res, rejected);
    return rejected !== null;
  }
  return function clerk(req, res, next) {
    handle(req, res).then((isSent) => isSent || next(), next);
  };
}

function requireAuth(params) {
  checkParams(params);
  return function clerkRequireAuth(req, res, next) {
    let rejected;
    try {
      rejected = rejection(getAuth(req), params);
    } catch (error) {
      return next(error);
    }
    if (rejected === null) return next();
    send(res, rejected);
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
