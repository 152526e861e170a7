'use strict';
// What happened: told on this thread, at the latest when the call that it happened in ends. A listener that throws is no
// failed request.

const { EventEmitter } = require('node:events');
const native = require('./native.js');

const LEVELS = [undefined, 'error', 'warn', 'info', 'debug'];
const camel = (word) => word.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
/** By their numbers; 0 is the log. */
const NAMES = native.events.map((word) => camel(word ?? ''));
NAMES[0] = 'log';

function logLine(level, message) {
  return { level: LEVELS[level], message };
}

function event(type, userKey, clerkId, tokenHash, reason, source, retryAfterMs) {
  const told = {
    type,
    userKey,
    clerkId,
    tokenHash,
    reason: native.reasons[reason] ?? null,
    source: native.sources[source] ?? null,
  };
  if (retryAfterMs >= 0) told.retryAfterMs = retryAfterMs;
  return told;
}

class ClerkEvents extends EventEmitter {
  #listen;
  #collected = [];
  /** Whether anybody listens to anything. */
  isHeard = false;

  constructor(listen) {
    super();
    this.#listen = listen;
    this.on('newListener', (name) => this.#hear(name));
    this.on('removeListener', () => this.#hear(undefined));
  }

  #hear(added) {
    let mask = 0;
    for (const [number, name] of NAMES.entries()) {
      if (name !== '' && (name === added || this.listenerCount(name) > 0)) mask |= 1 << number;
    }
    this.isHeard = mask !== 0;
    this.#listen(mask);
  }

  #collect = (kind, ...what) => {
    this.#collected.push(kind === 0 ? logLine(...what) : event(NAMES[kind], ...what));
  };

  /** Takes all that has happened from the addon before anybody is told: a listener may call the client, too. */
  tell(client) {
    client.takeNotices(this.#collect);
    const collected = this.#collected;
    if (collected.length === 0) return;
    this.#collected = [];
    for (const told of collected) {
      try {
        this.emit(told.type ?? 'log', told);
      } catch (error) {
        process.nextTick(() => {
          throw error;
        });
      }
    }
  }
}

module.exports = { ClerkEvents, NAMES, LEVELS };
