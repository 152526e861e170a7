'use strict';

const { ClerkClient } = require('./client.js');
const middleware = require('./middleware.js');
const { checkOptions } = require('./settings.js');

const HOOKS = ['onRequest', 'preHandler'];

/** `fastify.register(clerkPlugin, {client, hookName, ...settings})` */
async function clerkPlugin(fastify, options = {}) {
  checkOptions(options);
  const { client: source, hookName = 'preHandler', rejectInvalid, prefix, logLevel, ...settings } = options;
  const middlewareOptions = middleware.checkMiddlewareOptions(
    rejectInvalid === undefined ? undefined : { rejectInvalid },
  );
  if (!HOOKS.includes(hookName)) throw new TypeError(`hookName must be one of ${HOOKS.join(', ')}`);
  if (source !== undefined && typeof source !== 'function' && !(source instanceof ClerkClient))
    throw new TypeError('client must be a ClerkClient, or a function that returns one');
  const owned = source === undefined && Object.keys(settings).length > 0 ? new ClerkClient(settings) : undefined;
  const clientOf = middleware.clientResolver(source ?? owned);
  fastify.addHook(hookName, async (request, reply) => {
    const client = await clientOf(request);
    // `protocol` follows the option `trustProxy`.
    const page = client.handshake ? { scheme: request.protocol, target: request.originalUrl } : undefined;
    const auth = await middleware.authenticate(client, request.raw, request.raw, page);
    const rejected = middleware.rejectionOfInvalid(auth, middlewareOptions);
    const reject = () => reply.code(rejected.status).headers(rejected.headers).send(rejected.body);
    if (!client.handshake) return rejected === null ? undefined : reject();
    for (const line of auth.setCookies) reply.header('Set-Cookie', line);
    if (auth.cacheControl !== null) reply.header('Cache-Control', auth.cacheControl);
    if (auth.redirect !== null) return reply.code(307).header('Location', auth.redirect).send();
    if (rejected !== null) return reject();
  });
  if (owned !== undefined) fastify.addHook('onClose', () => owned.close());
}

// Fastify adds the hook to the surrounding scope instead of a scope of the plugin's own.
clerkPlugin[Symbol.for('skip-override')] = true;
clerkPlugin[Symbol.for('fastify.display-name')] = 'clerk-auth';

function getAuth(request) {
  return middleware.getAuth(request?.raw);
}

/** Returns a `preHandler` for routes. */
function requireAuth(params) {
  middleware.checkParams(params);
  return async function clerkRequireAuth(request, reply) {
    const rejected = middleware.rejection(getAuth(request), params);
    if (rejected !== null) return reply.code(rejected.status).headers(rejected.headers).send(rejected.body);
  };
}

exports.clerkPlugin = clerkPlugin;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
