'use strict';

const native = require('./native.js');
const { Auth } = require('./auth.js');
const { ClerkError, closed, failure, fromNative, fromThrown } = require('./errors.js');
const { ClerkEvents } = require('./events.js');
const { linesOf } = require('./request.js');
const { UserStore, isInside } = require('./store.js');
const settings = require('./settings.js');
const webhooks = require('./webhooks.js');

const ALL_COLUMNS = (1 << native.columns.length) - 1;

function signalOf(options) {
  const signal = options?.signal;
  if (signal === undefined || signal === null) return undefined;
  if (typeof signal.addEventListener !== 'function')
    throw new TypeError('options.signal must be an AbortSignal');
  if (signal.aborted) throw signal.reason;
  return signal;
}

/** What is aborted ends for its caller at once; the call itself goes on to its end. */
function abortable(promise, signal) {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function textOf(value, name) {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string`);
  return value;
}

class ClerkClient {
  #native;
  #store = null;
  #events;
  #timeoutMs;
  #isClosed = false;
  #underWay = new Set();
  #closing = null;
  #webhooks;

  constructor(options = {}) {
    const { settings: entries, timeoutMs, storeTimeoutMs, clock } = settings.read(options);
    this.#timeoutMs = storeTimeoutMs;
    if (options.users !== undefined && options.users !== null) {
      this.#store = new UserStore(this, options.users, storeTimeoutMs);
    }
    const given = {
      settings: entries,
      columns: this.#store?.mask ?? ALL_COLUMNS,
      lengths: this.#store?.lengths ?? [],
      hasStore: this.#store !== null,
      hasClock: clock !== undefined,
      nowMs: clock?.nowMs ?? 0,
      timeoutMs,
    };
    let wrong = null;
    try {
      this.#native = new native.Client(given, (error) => (wrong = error));
    } catch (error) {
      throw fromThrown(error);
    }
    if (wrong !== null) throw fromNative(wrong);
    this.#events = new ClerkEvents((mask) => this.#native.listen(mask));
    this.#webhooks = {
      handle: async (request, options) => {
        const signal = signalOf(options);
        const apply = async (lines, body) => this.#finished(this.#open().webhook(lines, body));
        return abortable(
          this.#call(() => webhooks.handle(request, this.#timeoutMs, apply)),
          signal,
        );
      },
    };
    // What the settings gave cause to say, once whoever made the client has had the time to listen.
    process.nextTick(() => {
      this.#events.tell(this.#native);
      if (!this.#events.isHeard) this.#native.listen(0);
    });
  }

  get events() {
    return this.#events;
  }

  get webhooks() {
    return this.#webhooks;
  }

  async authenticate(request, options) {
    const signal = options === undefined ? undefined : signalOf(options);
    const lines = linesOf(request);
    const known = this.#cached(lines);
    if (known !== undefined) return known;
    return abortable(
      this.#call(() => this.#ask(lines)),
      signal,
    );
  }

  /** The answer if memory has it, else undefined. */
  authenticateCached(request) {
    return this.#cached(linesOf(request));
  }

  async verifyToken(token, options) {
    const signal = signalOf(options);
    textOf(token, 'token');
    const verify = async () => this.#ended(await this.#native.verify(token));
    return abortable(this.#call(verify), signal);
  }

  async warmUp(options) {
    const signal = signalOf(options);
    const warmUp = async () => {
      const { status, error } = await this.#native.warmUp();
      if (status !== 'CLERK_OK') throw failure(status, error);
    };
    return abortable(this.#call(warmUp), signal);
  }

  invalidateToken(token) {
    this.#now((addon) => addon.invalidateToken(textOf(token, 'token')));
  }

  invalidateUser(clerkId) {
    this.#now((addon) => addon.invalidateUser(textOf(clerkId, 'clerkId')));
  }

  invalidateSession(sessionId) {
    this.#now((addon) => addon.invalidateSession(textOf(sessionId, 'sessionId')));
  }

  invalidateAll() {
    this.#now((addon) => addon.invalidateAll());
  }

  stats() {
    return this.#now((addon) => addon.stats());
  }

  /** Only for a client with `options.clock`. */
  setTime(nowMs) {
    if (!Number.isSafeInteger(nowMs) || nowMs <= 0) throw new TypeError('nowMs must be milliseconds since 1970');
    this.#now((addon) => addon.setTime(nowMs));
  }

  /** Breaks off what waits for Clerk and resolves when all calls have ended. */
  async close() {
    this.#refuseInside();
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    this.#isClosed = true;
    this.#native.close();
    // Whoever waited for another call's fetch begins one of its own when that is broken off.
    const again = setInterval(() => this.#native.close(), 10);
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
    clearInterval(again);
  }

  #open() {
    if (this.#isClosed) throw closed();
    return this.#native;
  }

  /** What needs no waiting. */
  #now(body) {
    const addon = this.#open();
    try {
      return body(addon);
    } catch (error) {
      throw fromThrown(error);
    }
  }

  #cached(lines) {
    const addon = this.#open();
    let handle;
    try {
      handle = addon.cached(lines[0], lines[1], lines[2], lines[3], lines[4], lines[5]);
    } catch (error) {
      throw fromThrown(error);
    }
    if (this.#events.isHeard) this.#tell();
    return handle === undefined ? undefined : new Auth(handle);
  }

  /** Runs what may take a while: never from inside a method of this client's own store, and never unseen by close(). */
  async #call(body) {
    this.#open();
    this.#refuseInside();
    const running = body();
    this.#underWay.add(running);
    try {
      return await running;
    } catch (error) {
      throw fromThrown(error);
    } finally {
      this.#underWay.delete(running);
      this.#tell();
    }
  }

  #refuseInside() {
    if (isInside(this))
      throw new ClerkError('CLERK_REENTRANT', "called from inside a method of the same client's user store");
  }

  async #ask(lines) {
    const begun = await this.#native.begin(...lines);
    this.#tell();
    return this.#ended(await this.#finished(begun));
  }

  /** With the steps taken that the library wants of the user store. */
  #finished(begun) {
    return begun.pending === undefined ? begun : this.#store.drive(begun.pending);
  }

  #ended({ status, result, error, row = null, cause }) {
    if (result === undefined) throw failure(status, error);
    const auth = new Auth(result, null, row);
    if (error === null) return auth;
    const { reason, retryAfterMs } = auth;
    return new Auth(result, fromNative(error, { reason, retryAfterMs, cause }), null);
  }

  #tell() {
    if (this.#events.isHeard) this.#events.tell(this.#native);
  }
}

if (Symbol.asyncDispose) {
  Object.defineProperty(ClerkClient.prototype, Symbol.asyncDispose, {
    value() {
      return this.close();
    },
  });
}

module.exports = { ClerkClient };
