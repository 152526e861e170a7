'use strict';
// Reads webhook requests and maps the library's status to an outcome.

const { parseClaims } = require('./auth.js');
const { ClerkError, fromNative, fromStatus } = require('./errors.js');
const { flattenHeaders, getHeaders, isFetchHeaders } = require('./request.js');

const HEADERS = new Set([
  'svix-id',
  'svix-timestamp',
  'svix-signature',
  'webhook-id',
  'webhook-timestamp',
  'webhook-signature',
]);
/** The library rejects a longer body. */
const MAX_BODY_BYTES = 1 << 20;

function toBuffer(body) {
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
      const part = toBuffer(chunk);
      parts.push(part);
      if (part === undefined) break;
      length += part.length;
      // One byte too many: the library rejects it and reports the reason.
      if (length > MAX_BODY_BYTES) {
        cancel();
        return Buffer.alloc(MAX_BODY_BYTES + 1);
      }
    }
  } catch (cause) {
    throw new ClerkError('CLERK_WEBHOOK', 'the request body ended early', { cause });
  }
  if (parts.includes(undefined)) throw new TypeError('request.body must be a stream of raw bytes');
  return Buffer.concat(parts);
}

async function withTimeout(promise, timeoutMs) {
  let timer;
  const timeout = new Promise((_, reject) => {
    const error = () => new ClerkError('CLERK_WEBHOOK', `the request body did not arrive within ${timeoutMs} ms`);
    timer = setTimeout(() => reject(error()), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Returns the raw body, or a promise of it. A parsed body is a TypeError: the signature covers the raw bytes. */
function readBody(request, timeoutMs) {
  if (isFetchHeaders(request.headers ?? {}) && typeof request.arrayBuffer === 'function') {
    if (request.bodyUsed || request.body?.locked)
      throw new TypeError('request.body has been read already: pass the request before anything reads its body');
    return request.body === null
      ? Buffer.alloc(0)
      : withTimeout(
          readAll(request.body, () => {}),
          timeoutMs,
        );
  }
  const raw = toBuffer(request.rawBody ?? request.body);
  if (raw !== undefined) return raw;
  // A body parser that is not for this content type sets `body` to `{}` (Express 4) and leaves the stream unread.
  const isUnread = request.readableDidRead === false && !request.readableEnded;
  if (request.body !== undefined && request.body !== null && !isUnread) {
    throw new TypeError('request.body must be the raw bytes (a Buffer or a string), not a parsed body');
  }
  if (typeof request[Symbol.asyncIterator] === 'function') {
    if (request.readableEnded)
      throw new TypeError('request has been read already: pass it before any body parser, or with its raw `body`');
    return withTimeout(
      readAll(request, () => request.pause?.()),
      timeoutMs,
    );
  }
  throw new TypeError('request.body must be the raw bytes of the webhook');
}

/** Returns the event of a verified body; null if it is no object. */
function parseEvent(body) {
  try {
    const event = parseClaims(body.toString());
    return typeof event === 'object' && event !== null ? event : null;
  } catch {
    return null;
  }
}

const OUTCOMES = {
  CLERK_OK: { outcome: 'applied', httpStatus: 200 },
  CLERK_WEBHOOK_IGNORED: { outcome: 'ignored', httpStatus: 200 },
  CLERK_E_WEBHOOK: { outcome: 'rejected', httpStatus: 400 },
  CLERK_UNAVAILABLE: { outcome: 'unavailable', httpStatus: 503 },
};

/** `processWebhook(headers, body)` passes the webhook to the library and executes its store requests. */
async function handle(request, timeoutMs, processWebhook) {
  const headers = flattenHeaders(getHeaders(request), HEADERS);
  let body;
  try {
    body = await readBody(request, timeoutMs);
  } catch (error) {
    if (error instanceof TypeError) throw error;
    return { ...OUTCOMES.CLERK_E_WEBHOOK, error, event: null };
  }
  const { status, error, cause } = await processWebhook(headers, body);
  const outcome = OUTCOMES[status];
  if (outcome === undefined) throw fromStatus(status, error);
  // Only what Clerk has signed.
  const isVerified = status === 'CLERK_OK' || status === 'CLERK_WEBHOOK_IGNORED';
  return { ...outcome, error: error && fromNative(error, { cause }), event: isVerified ? parseEvent(body) : null };
}

module.exports = { handle };
