'use strict';

/** What goes wrong here has a `code`; see the README for the list. */
class ClerkError extends Error {
  constructor(code, message, details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    for (const name of ['reason', 'setting', 'httpStatus', 'traceId', 'retryAfterMs']) {
      if (details[name] !== undefined && details[name] !== null) this[name] = details[name];
    }
  }

  get name() {
    return 'ClerkError';
  }
}

/** For `create` and `update` of a user store: a unique column already holds such a value. */
class ConflictError extends Error {
  constructor(message = 'a unique column already holds such a value', options) {
    super(message, options);
    this.code = 'CLERK_CONFLICT';
  }

  get name() {
    return 'ConflictError';
  }
}

/** The statuses that the README tells of; any other is a fault of this package. */
const CODES = new Set([
  'CLERK_API',
  'CLERK_CLOSED',
  'CLERK_CONFIG',
  'CLERK_PANIC',
  'CLERK_REENTRANT',
  'CLERK_UNAVAILABLE',
  'CLERK_WEBHOOK',
]);

function codeOf(status) {
  const code = String(status).replace('CLERK_E_', 'CLERK_');
  return CODES.has(code) ? code : 'CLERK_INTERNAL';
}

/** From what the addon tells of an error of the library. */
function fromNative(described, more = {}) {
  const { message, setting, traceId } = described;
  const httpStatus = described.httpStatus || undefined;
  const retryAfterMs = described.retryAfterMs < 0 ? undefined : described.retryAfterMs;
  const { status } = described;
  return new ClerkError(codeOf(status), message ?? status, { setting, traceId, httpStatus, retryAfterMs, ...more });
}

/** Of a call that gives no answer. */
function failure(status, described) {
  if (status === 'CLERK_CLOSED') return closed();
  return fromNative(described ?? { status, message: `the call failed: ${status}` });
}

/** What the addon has thrown, as it is to be thrown on. */
function fromThrown(error) {
  if (error instanceof TypeError || error instanceof ClerkError) return error;
  return new ClerkError(codeOf(error?.code), error?.message ?? 'the call failed', { cause: error });
}

const closed = () => new ClerkError('CLERK_CLOSED', 'this ClerkClient is closed');

module.exports = { ClerkError, ConflictError, fromNative, fromThrown, failure, closed };
