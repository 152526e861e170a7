'use strict';

const { ClerkClient } = require('./client.js');
const { attach, attached, clientOf, refusal } = require('./gate.js');
const { checkPlain } = require('./settings.js');

const HOOKS = ['onRequest', 'preHandler'];

/** `fastify.register(clerkPlugin, {client, hookName, ...settings})` */
async function clerkPlugin(fastify, options = {}) {
  checkPlain(options);
  const { client: given, hookName = 'preHandler', prefix, logLevel, ...settings } = options;
  if (!HOOKS.includes(hookName)) throw new TypeError(`hookName must be one of ${HOOKS.join(', ')}`);
  if (given !== undefined && !(given instanceof ClerkClient)) throw new TypeError('client must be a ClerkClient');
  const isOwn = given === undefined && Object.keys(settings).length > 0;
  const client = given ?? clientOf(isOwn ? settings : undefined);
  fastify.addHook(hookName, async (request) => {
    await attach(client, request.raw);
  });
  if (isOwn) fastify.addHook('onClose', () => client.close());
}

// The hook is for the routes beside the plugin, not only for those within it.
clerkPlugin[Symbol.for('skip-override')] = true;
clerkPlugin[Symbol.for('fastify.display-name')] = 'clerk-auth';

function getAuth(request) {
  return attached(request?.raw);
}

/** A `preHandler` for routes. */
function requireAuth(demands) {
  return async function clerkRequireAuth(request, reply) {
    const no = refusal(getAuth(request), demands);
    if (no !== null) return reply.code(no.status).headers(no.headers).send(no.body);
  };
}

exports.clerkPlugin = clerkPlugin;
exports.getAuth = getAuth;
exports.requireAuth = requireAuth;
