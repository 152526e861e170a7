'use strict';
// The events of a client. They are emitted on this thread, before the call that caused them resolves.

const { EventEmitter } = require('node:events');
const { inspect } = require('node:util');
const { LOG_LEVELS } = require('./enums.js');
const native = require('./native.js');
const { warnOfLog } = require('./warnings.js');

const camelCase = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
/** Event names by number; 0 is the log. */
const NAMES = native.events.map((name) => camelCase(name ?? ''));
NAMES[0] = 'log';

function logEvent(level, message) {
  return { level: LOG_LEVELS[level - 1], message };
}

function clerkEvent(type, userKey, clerkId, tokenHash, reason, source, retryAfterMs, handshakeSource, droppedLines) {
  const event = {
    type,
    userKey,
    clerkId,
    tokenHash,
    reason: native.reasons[reason] ?? null,
    source: native.sources[source] ?? null,
  };
  if (retryAfterMs >= 0) event.retryAfterMs = retryAfterMs;
  if (handshakeSource > 0)
    Object.assign(event, { handshakeSource: native.handshakeSources[handshakeSource], droppedLines });
  return event;
}

/** Emits a warning for a failed listener: rethrown, its error would end the process. */
function warn(error) {
  process.emitWarning(error instanceof Error ? error : inspect(error));
}

class ClerkEvents extends EventEmitter {
  #setMask;
  #queue = [];
  /** Whether any event has a listener. */
  hasListeners = false;
  /** Whether the log has one. */
  hasLogListener = false;

  /** `setMask(mask)` is called with the sum of `1 << number` of the events that have a listener. */
  constructor(setMask) {
    super({ captureRejections: true });
    this.#setMask = setMask;
    this.#watch();
  }

  #onNewListener = (name) => this.#updateMask(name);
  #onRemoveListener = () => this.#updateMask(undefined);

  #watch() {
    if (!this.listeners('newListener').includes(this.#onNewListener)) this.on('newListener', this.#onNewListener);
    if (!this.listeners('removeListener').includes(this.#onRemoveListener))
      this.on('removeListener', this.#onRemoveListener);
  }

  /** Keeps the two listeners of this class. */
  removeAllListeners(...names) {
    super.removeAllListeners(...names);
    this.#watch();
    this.#updateMask(undefined);
    return this;
  }

  [EventEmitter.captureRejectionSymbol](error) {
    warn(error);
  }

  /** `added`: the event whose first listener is about to be added. */
  #updateMask(added) {
    let mask = 0;
    for (const [number, name] of NAMES.entries()) {
      if (name !== '' && (name === added || this.listenerCount(name) > 0)) mask |= 1 << number;
    }
    this.hasListeners = mask !== 0;
    this.hasLogListener = (mask & 1) !== 0;
    // Without a listener, warnings of the log are emitted as those of the process.
    this.#setMask(mask | 1);
  }

  #enqueue = (kind, ...fields) => {
    this.#queue.push(kind === 0 ? logEvent(...fields) : clerkEvent(NAMES[kind], ...fields));
  };

  /** Emits what the addon has queued. The queue is emptied first, because a listener may call the client. */
  flush(client) {
    client.takeEvents(this.#enqueue);
    const events = this.#queue;
    if (events.length === 0) return;
    this.#queue = [];
    for (const event of events) {
      if (event.type === undefined && !this.hasLogListener) {
        warnOfLog(event);
        continue;
      }
      try {
        this.emit(event.type ?? 'log', event);
      } catch (error) {
        warn(error);
      }
    }
  }
}

module.exports = { ClerkEvents, NAMES };
