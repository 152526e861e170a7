'use strict';

/** An error with a `code`. The README lists the codes. */
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

/** Thrown by `create` and `update` of a user store when the value of a unique column exists already. */
class ConflictError extends Error {
  constructor(message = 'a unique column already contains this value', options) {
    super(message, options);
    this.code = 'CLERK_CONFLICT';
  }

  get name() {
    return 'ConflictError';
  }
}

/** The library's statuses that become a code. Any other status is a defect of this package. */
const CODES = new Set([
  'CLERK_API',
  'CLERK_CLOSED',
  'CLERK_CONFIG',
  'CLERK_PANIC',
  'CLERK_REENTRANT',
  'CLERK_UNAVAILABLE',
  'CLERK_WEBHOOK',
]);

function codeFromStatus(status) {
  const code = String(status).replace('CLERK_E_', 'CLERK_');
  return CODES.has(code) ? code : 'CLERK_INTERNAL';
}

/** Returns a ClerkError for an error object of the addon. */
function fromNative(native, details = {}) {
  const { status, message, setting, traceId } = native;
  const httpStatus = native.httpStatus || undefined;
  const retryAfterMs = native.retryAfterMs < 0 ? undefined : native.retryAfterMs;
  return new ClerkError(codeFromStatus(status), message ?? status, {
    setting,
    traceId,
    httpStatus,
    retryAfterMs,
    ...details,
  });
}

/** Returns a ClerkError for a call that returned a status and no result. */
function fromStatus(status, native) {
  if (status === 'CLERK_CLOSED') return closedError();
  return fromNative(native ?? { status, message: `the call failed: ${status}` });
}

/** Returns a ClerkError for an exception of the addon. A TypeError or ClerkError is returned unchanged. */
function fromException(error) {
  if (error instanceof TypeError || error instanceof ClerkError) return error;
  return new ClerkError(codeFromStatus(error?.code), error?.message ?? 'the call failed', { cause: error });
}

function closedError() {
  return new ClerkError('CLERK_CLOSED', 'this ClerkClient is closed');
}

module.exports = { ClerkError, ConflictError, closedError, fromException, fromNative, fromStatus };
