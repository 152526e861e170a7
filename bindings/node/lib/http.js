'use strict';
// Plain `http`: a handler that is only called once it is known who is calling.

const { attach, attached, clientOf, refusal } = require('./gate.js');

function refuse(res, { status, headers, body }) {
  res.writeHead(status, { ...headers, 'Content-Type': 'application/json' });
  res.end(JSON.stringify(body));
}

/** `http.createServer(withAuth(client, (req, res) => …))` */
function withAuth(options, handler) {
  const client = clientOf(options);
  if (typeof handler !== 'function') throw new TypeError('handler must be a function');
  return async function clerkHandler(req, res) {
    try {
      await attach(client, req);
    } catch (error) {
      // Wrong use only, such as a closed client: nobody gets through.
      process.emitWarning(error);
      refuse(res, { status: 500, headers: {}, body: { error: 'internal-error' } });
      return;
    }
    await handler(req, res);
  };
}

/** True if somebody is signed in and has all that is demanded; else the request has been answered. */
function requireAuth(req, res, demands) {
  const no = refusal(attached(req), demands);
  if (no !== null) refuse(res, no);
  return no === null;
}

exports.withAuth = withAuth;
exports.getAuth = attached;
exports.requireAuth = requireAuth;
