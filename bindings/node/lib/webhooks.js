'use strict';
// Webhook deliveries: their bytes as they came, and what becomes of them.

const { headersOf, flatLines, isFetchHeaders } = require('./request.js');
const { ClerkError, failure, fromNative } = require('./errors.js');

const NAMES = new Set([
  'svix-id',
  'svix-timestamp',
  'svix-signature',
  'webhook-id',
  'webhook-timestamp',
  'webhook-signature',
]);
/** The library looks at no longer one. */
const LONGEST_BODY = 1 << 20;

function bytes(body) {
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof ArrayBuffer) return Buffer.from(body);
  if (ArrayBuffer.isView(body)) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return undefined;
}

async function readAll(chunks, cancel) {
  const parts = [];
  let length = 0;
  try {
    for await (const chunk of chunks) {
      const part = bytes(chunk);
      parts.push(part);
      if (part === undefined) break;
      length += part.length;
      // One byte too many, so that the library says what is wrong.
      if (length > LONGEST_BODY) {
        cancel();
        return Buffer.alloc(LONGEST_BODY + 1);
      }
    }
  } catch (cause) {
    throw new ClerkError('CLERK_WEBHOOK', "the delivery's body broke off", { cause });
  }
  if (parts.includes(undefined)) throw new TypeError('request.body must be a stream of raw bytes');
  return Buffer.concat(parts);
}

async function within(promise, timeoutMs) {
  let timer;
  const late = new Promise((_, reject) => {
    const error = () => new ClerkError('CLERK_WEBHOOK', `the delivery's body did not arrive within ${timeoutMs} ms`);
    timer = setTimeout(() => reject(error()), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A body that was parsed is no longer what was signed. */
function bodyOf(request, timeoutMs) {
  if (isFetchHeaders(request.headers ?? {}) && typeof request.arrayBuffer === 'function') {
    if (request.bodyUsed || request.body?.locked)
      throw new TypeError('request.body was read already: hand the request over untouched');
    return request.body === null
      ? Buffer.alloc(0)
      : within(
          readAll(request.body, () => {}),
          timeoutMs,
        );
  }
  const given = bytes(request.rawBody ?? request.body);
  if (given !== undefined) return given;
  if (request.body !== undefined && request.body !== null) {
    throw new TypeError('request.body must be the raw bytes (a Buffer or a string), not what was parsed from them');
  }
  if (typeof request[Symbol.asyncIterator] === 'function') {
    if (request.readableEnded)
      throw new TypeError('request was read already: hand it over untouched, or with its raw `body`');
    return within(
      readAll(request, () => request.pause?.()),
      timeoutMs,
    );
  }
  throw new TypeError('request.body must be the raw bytes of the delivery');
}

const HANDLED = {
  CLERK_OK: { outcome: 'applied', httpStatus: 200 },
  CLERK_WEBHOOK_IGNORED: { outcome: 'ignored', httpStatus: 200 },
  CLERK_E_WEBHOOK: { outcome: 'refused', httpStatus: 400 },
  CLERK_UNAVAILABLE: { outcome: 'unavailable', httpStatus: 503 },
};

/** `apply(lines, body)` gives what the library says of the delivery, its steps taken. */
async function handle(request, timeoutMs, apply) {
  const lines = flatLines(headersOf(request), NAMES);
  let body;
  try {
    body = await bodyOf(request, timeoutMs);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    return { ...HANDLED.CLERK_E_WEBHOOK, error };
  }
  const { status, error, cause } = await apply(lines, body);
  const handled = HANDLED[status];
  if (handled === undefined) throw failure(status, error);
  return { ...handled, error: error && fromNative(error, { cause }) };
}

module.exports = { handle };
