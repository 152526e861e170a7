'use strict';
// What happened: told on this thread, at the latest when the call that it happened in ends. A listener that throws is no
// failed request.

const { EventEmitter } = require('node:events');
const { inspect } = require('node:util');
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

/** A listener's failure is for whoever runs the server; thrown, it would end the process. */
function warn(error) {
  process.emitWarning(error instanceof Error ? error : inspect(error));
}

class ClerkEvents extends EventEmitter {
  #listen;
  #collected = [];
  /** Whether anybody listens to anything. */
  isHeard = false;

  constructor(listen) {
    super({ captureRejections: true });
    this.#listen = listen;
    this.#watch();
  }

  #added = (name) => this.#hear(name);
  #removed = () => this.#hear(undefined);

  #watch() {
    if (!this.listeners('newListener').includes(this.#added)) this.on('newListener', this.#added);
    if (!this.listeners('removeListener').includes(this.#removed)) this.on('removeListener', this.#removed);
  }

  /** Those who watch for listeners stay. */
  removeAllListeners(...names) {
    super.removeAllListeners(...names);
    this.#watch();
    this.#hear(undefined);
    return this;
  }

  [EventEmitter.captureRejectionSymbol](error) {
    warn(error);
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
        warn(error);
      }
    }
  }
}

module.exports = { ClerkEvents, NAMES, LEVELS };
