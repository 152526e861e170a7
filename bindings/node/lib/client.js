'use strict';

const { channel: diagnosticsChannel } = require('node:diagnostics_channel');
const native = require('./native.js');
const { Auth } = require('./auth.js');
const { ClerkError, closedError, fromException, fromNative, fromStatus } = require('./errors.js');
const { ClerkEvents } = require('./events.js');
const { parseHeaders, parsePage } = require('./request.js');
const { parseOptions } = require('./settings.js');
const { UserStore, isInStoreCall, runOnDatabase } = require('./user-store.js');
const { warnOfResult } = require('./warnings.js');
const webhooks = require('./webhooks.js');

const channel = diagnosticsChannel('clerk-auth:authenticate');
const ALL_COLUMNS = (1 << native.columns.length) - 1;

function getSignal(options) {
  const signal = options?.signal;
  if (signal === undefined || signal === null) return undefined;
  if (typeof signal.addEventListener !== 'function') throw new TypeError('options.signal must be an AbortSignal');
  if (signal.aborted) throw signal.reason;
  return signal;
}

/** Rejects with the signal's reason as soon as it is aborted. The call itself continues. */
function abortable(promise, signal) {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function checkString(value, name) {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string`);
  return value;
}

/** Returns whether an authentication or a webhook is unavailable. */
function isUnavailable(value) {
  return value?.status === 'unavailable' || value?.outcome === 'unavailable';
}

class ClerkClient {
  #native = null;
  #configError = null;
  #store = null;
  #events;
  #storeTimeoutMs;
  #isClosed = false;
  #isMarked = false;
  #inFlight = new Set();
  #closing = null;
  #webhooks;
  #handshake;

  constructor(options = {}) {
    const { settings, timeoutMs, storeTimeoutMs, cacheCapacity, clock, handshake } = parseOptions(options);
    this.#handshake = handshake;
    this.#storeTimeoutMs = storeTimeoutMs;
    if (options.users !== undefined && options.users !== null) {
      this.#store = new UserStore(this, options.users, storeTimeoutMs, cacheCapacity);
    }
    const nativeOptions = {
      settings,
      columns: this.#store?.mask ?? ALL_COLUMNS,
      lengths: this.#store?.lengths ?? [],
      hasStore: this.#store !== null,
      hasClock: clock !== undefined,
      nowMs: clock?.nowMs ?? 0,
      timeoutMs,
    };
    let configError = null;
    try {
      this.#native = new native.Client(nativeOptions, (error) => (configError = error));
    } catch (error) {
      throw fromException(error);
    }
    if (configError !== null) {
      this.#native = null;
      this.#configError = fromNative(configError);
      // `next build` imports the server's modules without its secrets: the first use throws the error.
      if (process.env.NEXT_PHASE !== 'phase-production-build') throw this.#configError;
    }
    this.#events = new ClerkEvents((mask) => this.#native?.setEventMask(mask));
    this.#webhooks = {
      handle: async (request, callOptions) => {
        const signal = getSignal(callOptions);
        const processWebhook = async (headers, body) => this.#finish(await this.#open().processWebhook(headers, body));
        return abortable(
          this.#call(() => webhooks.handle(request, this.#storeTimeoutMs, processWebhook)),
          signal,
        );
      },
    };
    // Warnings about the settings are queued by now; the next tick gives the caller time to add a listener.
    if (this.#native === null) return;
    process.nextTick(() => {
      this.#events.flush(this.#native);
      // Else all events would be queued until the first listener is added.
      if (!this.#events.hasListeners) this.#native.setEventMask(1);
    });
  }

  get events() {
    return this.#events;
  }

  get webhooks() {
    return this.#webhooks;
  }

  /** Whether the setting `handshake` is on. */
  get handshake() {
    return this.#handshake;
  }

  async authenticate(request, options) {
    return channel.hasSubscribers ? this.#observe(request, options) : this.#authenticateRequest(request, options);
  }

  /** Publishes the result, and how long it took, on the channel `clerk-auth:authenticate`. */
  async #observe(request, options) {
    const started = performance.now();
    let auth = null;
    let error = null;
    try {
      auth = await this.#authenticateRequest(request, options);
      return auth;
    } catch (thrown) {
      error = thrown;
      throw thrown;
    } finally {
      channel.publish({ client: this, auth, error, durationMs: performance.now() - started });
    }
  }

  async #authenticateRequest(request, options) {
    const signal = options === undefined ? undefined : getSignal(options);
    const headers = this.#parse(request, options);
    const cached = this.#authenticateCached(headers);
    if (cached !== undefined) {
      if (!this.#events.hasLogListener) warnOfResult(cached);
      return cached;
    }
    return abortable(
      this.#call(() => this.#authenticate(headers)),
      signal,
    );
  }

  /** Returns the cached result, or undefined. */
  authenticateCached(request, options) {
    return this.#authenticateCached(this.#parse(request, options));
  }

  /** Reads a request; with `handshake` on also its scheme and target, which options may override. */
  #parse(request, options) {
    return this.#handshake ? parsePage(request, options) : parseHeaders(request);
  }

  /** Returns where the request has a credential, and the token; verifies nothing. */
  credential(request) {
    const headers = parseHeaders(request);
    return this.#callSync((addon) => addon.credential(...headers));
  }

  async verifyToken(token, options) {
    const signal = getSignal(options);
    checkString(token, 'token');
    const verify = async () => this.#toAuth(await this.#native.verifyToken(token));
    return abortable(this.#call(verify), signal);
  }

  async warmUp(options) {
    const signal = getSignal(options);
    const warmUp = async () => {
      const storeError = await this.#store?.warmUp();
      if (storeError !== undefined) throw storeError;
      const { status, error } = await this.#native.warmUp();
      if (status !== 'CLERK_OK') throw this.#isClosed ? closedError() : fromStatus(status, error);
    };
    return abortable(this.#call(warmUp), signal);
  }

  invalidateToken(token) {
    this.#callSync((addon) => addon.invalidateToken(checkString(token, 'token')));
  }

  invalidateUser(clerkId) {
    this.#callSync((addon) => addon.invalidateUser(checkString(clerkId, 'clerkId')));
  }

  invalidateSession(sessionId) {
    this.#callSync((addon) => addon.invalidateSession(checkString(sessionId, 'sessionId')));
  }

  invalidateAll() {
    this.#callSync((addon) => addon.invalidateAll());
    this.#store?.clear();
  }

  revokeSession(sessionId) {
    this.#callSync((addon) => addon.revokeSession(checkString(sessionId, 'sessionId')));
  }

  revokeUser(clerkId) {
    this.#callSync((addon) => addon.revokeUser(checkString(clerkId, 'clerkId')));
  }

  exportRevocations() {
    return this.#callSync((addon) => addon.exportRevocations());
  }

  importRevocations(json) {
    this.#callSync((addon) => addon.importRevocations(checkString(json, 'json')));
  }

  explain(token) {
    const { json, text } = this.#callSync((addon) => addon.explain(checkString(token, 'token')));
    return { ...JSON.parse(json), text };
  }

  stats() {
    return this.#callSync((addon) => addon.stats());
  }

  startPoller() {
    this.#callSync((addon) => addon.startPoller());
  }

  metricsText() {
    return this.#callSync((addon) => addon.metricsText());
  }

  /** Sets the clock of a client that has `options.clock`. */
  setTime(nowMs) {
    if (!Number.isSafeInteger(nowMs) || nowMs <= 0)
      throw new TypeError('nowMs must be an integer: milliseconds since 1970');
    this.#callSync((addon) => addon.setTime(nowMs));
  }

  /** Cancels calls that wait for Clerk, which reject with `CLERK_CLOSED`. Resolves when no call is in flight. */
  async close() {
    this.#checkNotInStoreCall();
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    this.#isClosed = true;
    if (this.#native === null) return;
    this.#native.close();
    // A call that waited for another call's fetch starts its own fetch when that one is canceled.
    const again = setInterval(() => this.#native.close(), 10);
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight);
    clearInterval(again);
  }

  #open() {
    if (this.#isClosed) throw closedError();
    if (this.#configError !== null) throw this.#configError;
    return this.#native;
  }

  #callSync(body) {
    const addon = this.#open();
    try {
      return body(addon);
    } catch (error) {
      throw fromException(error);
    }
  }

  #authenticateCached(headers) {
    const addon = this.#open();
    let handle;
    try {
      handle = this.#handshake
        ? addon.authenticateCached(...headers)
        : addon.authenticateCached(headers[0], headers[1], headers[2], headers[3], headers[4], headers[5]);
    } catch (error) {
      throw fromException(error);
    }
    if (this.#events.hasListeners) this.#flushEvents();
    return handle === undefined ? undefined : new Auth(handle, null, this.#store);
  }

  /** Runs a call that may wait, registered for `close()`. Rejects it inside a method of this client's user store. */
  async #call(body) {
    this.#open();
    this.#checkNotInStoreCall();
    const promise = body();
    this.#inFlight.add(promise);
    try {
      const value = await promise;
      // Canceled: the result says nothing about the request.
      if (this.#isClosed && isUnavailable(value)) throw closedError();
      return value;
    } catch (error) {
      throw this.#isClosed && error?.code === 'CLERK_UNAVAILABLE' ? closedError() : fromException(error);
    } finally {
      this.#inFlight.delete(promise);
      this.#events.flush(this.#native);
    }
  }

  #checkNotInStoreCall() {
    if (isInStoreCall(this))
      throw new ClerkError('CLERK_REENTRANT', "called from inside a method of the same client's user store");
  }

  async #authenticate(headers) {
    this.#mark();
    const callResult = await this.#native.authenticate(...headers);
    this.#flushEvents();
    const auth = this.#toAuth(await this.#finish(callResult));
    if (!this.#events.hasLogListener && !this.#isClosed) warnOfResult(auth);
    return auth;
  }

  /** Requests of one turn of the event loop begin together, not when a thread takes them: new users among them are fetched once. */
  #mark() {
    if (this.#isMarked) return;
    this.#native.mark();
    this.#isMarked = true;
    setImmediate(() => (this.#isMarked = false));
  }

  /** Executes the store requests of a pending call. */
  #finish(callResult) {
    if (callResult.pending === undefined) return callResult;
    return this.#store === null ? runOnDatabase(callResult.pending) : this.#store.run(callResult.pending);
  }

  #toAuth({ status, result, error, row = null, cause }) {
    if (result === undefined) throw fromStatus(status, error);
    const auth = new Auth(result, null, this.#store, row);
    if (error === null) return auth;
    const { reason, retryAfterMs } = auth;
    return new Auth(result, fromNative(error, { reason, retryAfterMs, cause }), null);
  }

  #flushEvents() {
    if (this.#events.hasListeners) this.#events.flush(this.#native);
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
