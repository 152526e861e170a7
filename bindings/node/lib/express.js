'use strict';

const { authenticate, getAuth, rejection, resolveClient, respondToPage } = require('./middleware.js');

function clerkMiddleware(clientOrOptions) {
  const client = resolveClient(clientOrOptions);
  return function clerk(req, res, next) {
    // `protocol` follows the setting `trust proxy`.
    const page = client.handshake ? { scheme: req.protocol, target: req.originalUrl } : undefined;
    authenticate(client, req, req, page).then((auth) => respondToPage(client, auth, res) || next(), next);
  };
}

function requireAuth(params) {
  return function clerkRequireAuth(req, res, next) {
    let rejected;
    try {
      rejected = rejection(getAuth(req), params);
    } catch (error) {
      return next(error);
    }
    if (rejected === null) return next();
    res.status(rejected.status).set(rejected.headers).json(rejected.body);
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
