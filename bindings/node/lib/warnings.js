'use strict';
// What an operator has to know, for clients without a listener for `log`: `process.emitWarning`, once a minute at most for each.

const INTERVAL_MS = 60_000;
const MAX_MESSAGES = 100;
const lastTimes = new Map();

function warn(message) {
  const now = Date.now();
  // Numbers and trace ids differ where the message is the same.
  const key = message.replace(/trace \S+|\d+/g, '');
  const last = lastTimes.get(key);
  if (last !== undefined && now - last < INTERVAL_MS) return;
  if (lastTimes.size >= MAX_MESSAGES) lastTimes.clear();
  lastTimes.set(key, now);
  if (!process.env.CLERK_LOG)
    process.emitWarning(`clerk-auth: ${message}`, { type: 'ClerkWarning', code: 'CLERK_AUTH' });
  else writeLine('warn', message);
}

const LEVELS = ['off', 'error', 'warn', 'info', 'debug'];

/** Writes a line to standard error if CLERK_LOG includes its level. */
function writeLine(level, message) {
  if (LEVELS.indexOf(level) <= LEVELS.indexOf(process.env.CLERK_LOG))
    process.stderr.write(`clerk-auth: ${level}: ${message}\n`);
}

const CLOCK_REASONS = ['token-not-active-yet', 'token-iat-in-the-future'];

/** A database may quote the values of a statement. */
const withoutAddresses = (message) => message.slice(0, 200).replace(/[^\s'"(=]+@[^\s'")]+/g, '[address]');

/** Warns of a result that says something about this server. */
function warnOfResult(auth) {
  if (auth.status === 'unavailable') {
    const { message, cause } = auth.error;
    const detail = cause instanceof Error ? ` (${cause.name}: ${withoutAddresses(cause.message)})` : '';
    warn(`requests cannot be authenticated: ${auth.reason}: ${message}${detail}`);
  } else if (CLOCK_REASONS.includes(auth.reason)) {
    warn(`tokens are rejected as ${auth.reason}: the clock of this machine may be behind that of Clerk`);
  }
}

/** Warns of what the library logs at the levels `warn` and `error`; with CLERK_LOG all lines of its level go to standard error. */
function warnOfLog({ level, message }) {
  if (process.env.CLERK_LOG) writeLine(level, message);
  else if (level === 'warn' || level === 'error') warn(message);
}

module.exports = { warnOfLog, warnOfResult };
