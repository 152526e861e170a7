'use strict';
// What an operator has to know, for clients without a listener for `log`: `process.emitWarning`, once a minute at most for each.

const INTERVAL_MS = 60_000;
const MAX_MESSAGES = 100;
const lastTimes = new Map();

function warn(message) {
  const now = Date.now();
  const last = lastTimes.get(message);
  if (last !== undefined && now - last < INTERVAL_MS) return;
  if (lastTimes.size >= MAX_MESSAGES) lastTimes.clear();
  lastTimes.set(message, now);
  process.emitWarning(message, { type: 'ClerkWarning', code: 'CLERK_AUTH' });
}

const CLOCK_REASONS = ['token-not-active-yet', 'token-iat-in-the-future'];

/** Warns of a result that says something about this server. */
function warnOfResult(auth) {
  if (auth.status === 'unavailable') {
    const { message, cause } = auth.error;
    // Without ids and numbers, which would make every message another one.
    const detail = cause instanceof Error ? ` (${cause.name}: ${cause.message.slice(0, 200)})` : '';
    warn(`clerk-auth: requests cannot be authenticated: ${auth.reason}: ${message}${detail}`);
  } else if (CLOCK_REASONS.includes(auth.reason)) {
    warn(`clerk-auth: tokens are rejected as ${auth.reason}: the clock of this machine may be behind that of Clerk`);
  }
}

/** Warns of what the library logs at the levels `warn` and `error`. */
function warnOfLog({ level, message }) {
  if (level === 'warn' || level === 'error') warn(`clerk-auth: ${message}`);
}

module.exports = { warnOfLog, warnOfResult };
