'use strict';

const { attach, attached, clientOf, refusal } = require('./gate.js');

function clerkMiddleware(options) {
  const client = clientOf(options);
  return function clerk(req, res, next) {
    attach(client, req).then(() => next(), next);
  };
}

function requireAuth(demands) {
  return function clerkRequireAuth(req, res, next) {
    let no;
    try {
      no = refusal(attached(req), demands);
    } catch (error) {
      return next(error);
    }
    if (no === null) return next();
    res.status(no.status).set(no.headers).json(no.body);
  };
}

exports.clerkMiddleware = clerkMiddleware;
exports.getAuth = attached;
exports.requireAuth = requireAuth;
