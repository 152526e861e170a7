'use strict';
// Middleware for plain `http`.

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
  res.writeHead(status, { ...headers, 'Content-Type': 'application/json' });
  res.end(JSON.stringify(body));
}

/** `http.createServer(withAuth(client, (req, res) => …))`: calls the handler once the request is authenticated. */
function withAuth(source, handler, middlewareOptions) {
  const clientOf = clientResolver(source);
  const options = checkMiddlewareOptions(middlewareOptions);
  if (typeof handler !== 'function') throw new TypeError('handler must be a function');
  return async function clerkHandler(req, res) {
    try {
      const client = await clientOf(req);
      const auth = await authenticate(client, req);
      if (respondToPage(client, auth, res)) return;
      const rejected = rejectionOfInvalid(auth, options);
      if (rejected !== null) return send(res, rejected);
    } catch (error) {
      // Wrong use of the package, such as a closed client: the handler is not called.
      process.emitWarning(error);
      send(res, { status: 500, headers: {}, body: { error: 'internal-error' } });
      return;
    }
    await handler(req, res);
  };
}

/** Returns true if the request is signed in and passes all checks; else sends the response and returns false. */
function requireAuth(req, res, params) {
  checkParams(params);
  const rejected = rejection(getAuth(req), params);
  if (rejected !== null) send(res, rejected);
  return rejected === null;
}

exports.withAuth = withAuth;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
