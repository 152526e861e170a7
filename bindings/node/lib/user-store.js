'use strict';
// Adapts the application's user table, an object of methods, to the library's requests.

const { AsyncLocalStorage } = require('node:async_hooks');
const { setTimeout: sleep } = require('node:timers/promises');
const { toBoolean, toMilliseconds } = require('./columns.js');
const { isAborted, isConflict } = require('./database-errors.js');
const native = require('./native.js');
const { ClerkError } = require('./errors.js');
const { RowCache } = require('./row-cache.js');

const METHODS = ['findByKey', 'findByClerkId', 'findByEmail', 'usernameTaken', 'create', 'update'];
const STRING_COLUMNS = 6;
const MILLISECONDS = ['lastActiveAtMs', 'clerkUpdatedAtMs'];
/** Optional: a table has this column only if `columns` lists it. */
const OPTIONAL = 'clerkUpdatedAtMs';
/** The columns that decide whose row it is and whether it counts. */
const REQUIRED = ['clerkId', 'isActive', 'bannedByClerk'];
/** How often a statement is repeated that the database has aborted because of another transaction. */
const MAX_RESTARTS = 10;

/** The store methods that are running in this asynchronous context, innermost first. */
const contexts = new AsyncLocalStorage();

/** Returns whether the caller runs inside a store method of this client. */
function isInStoreCall(client) {
  for (let context = contexts.getStore(); context !== undefined; context = context.outer) {
    if (context.client === client && context.isActive) return true;
  }
  return false;
}

function toKey(value, where) {
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return String(value);
  throw new TypeError(`${where} must be a string or an integer`);
}

const isRow = (value) => typeof value === 'object' && value !== null;

class UserStore {
  #client;
  #users;
  #timeoutMs;
  #columns;
  #rows;
  #isChecked = false;

  constructor(client, users, timeoutMs, rowCapacity) {
    if (users === null || typeof users !== 'object') throw new TypeError('options.users must be an object');
    for (const name of METHODS) {
      if (typeof users[name] !== 'function') throw new TypeError(`options.users.${name} must be a function`);
    }
    this.#client = client;
    this.#users = users;
    this.#timeoutMs = timeoutMs;
    this.#rows = new RowCache(rowCapacity);
    this.#columns = users.columns ?? native.columns.filter((name) => name !== OPTIONAL);
    if (!Array.isArray(this.#columns) || !this.#columns.every((name) => native.columns.includes(name))) {
      throw new TypeError(`options.users.columns must be an array of ${native.columns.join(', ')}`);
    }
    // Without either no row could ever be found, and `isActive` would have no effect.
    if (!this.#columns.includes('clerkId') && !this.#columns.includes('email')) {
      throw new TypeError('options.users.columns must contain `clerkId` or `email`');
    }
  }

  /** The columns as a sum of `1 << column`. */
  get mask() {
    return this.#columns.reduce((mask, name) => mask | (1 << native.columns.indexOf(name)), 0);
  }

  /** The column lengths as [column, characters, ...]. */
  get lengths() {
    return Object.entries(this.#users.columnLengths ?? {}).flatMap(([name, characters]) => {
      const column = native.columns.indexOf(name);
      if (column < 0 || !Number.isSafeInteger(characters) || characters < 0) {
        throw new TypeError(`options.users.columnLengths.${name} must be a number of characters`);
      }
      return [column, characters];
    });
  }

  /** The row that the table had when it was last read. */
  cachedRow(key) {
    return this.#rows.get(key);
  }

  clear() {
    this.#rows.clear();
  }

  /** Calls `users.check()`, which rejects a table that cannot be used, until it has succeeded once. */
  async #check() {
    if (this.#isChecked || typeof this.#users.check !== 'function') return;
    // Not one promise for all requests: a query that hangs would make each of them time out.
    await this.#users.check();
    this.#isChecked = true;
  }

  /** Checks the table, within the deadline of one request. */
  async warmUp() {
    const session = new StoreSession(async () => ({ response: await this.#check() }), this.#timeoutMs);
    try {
      await session.respond({ kind: 'check' });
    } finally {
      session.end();
    }
    const { error } = session;
    if (error === undefined || error instanceof ClerkError || error instanceof TypeError) return error;
    return new ClerkError('CLERK_UNAVAILABLE', `the user store failed: ${error?.message ?? error}`, { cause: error });
  }

  /** Executes the requests of a pending call until it is done, within one deadline. Adds the last row and the store's error. */
  async run(pending) {
    const session = new StoreSession((request) => this.#execute(request), this.#timeoutMs);
    try {
      let request;
      while ((request = native.pending.request(pending)) !== null) {
        if (request.kind !== 'fetch') {
          native.pending.submit(pending, await session.respond(request));
        } else if ((await native.pending.fetch(pending)).status !== 'CLERK_OK') {
          break;
        }
      }
      return { ...native.pending.finish(pending), row: session.row, cause: session.error };
    } finally {
      session.end();
    }
  }

  async #execute(request) {
    const context = { client: this.#client, outer: contexts.getStore(), isActive: true };
    try {
      return await contexts.run(context, async () => {
        await this.#check();
        return this.#call(request);
      });
    } finally {
      context.isActive = false;
    }
  }

  async #call({ kind, value, key, columns, condition }) {
    const users = this.#users;
    const where = `users.${kind}()`;
    switch (kind) {
      case 'findByKey':
        return this.#foundRows(where, [await users.findByKey(key)]);
      case 'findByClerkId':
        return this.#foundRows(where, [await users.findByClerkId(value)]);
      case 'findByEmail': {
        const rows = await users.findByEmail(value);
        return this.#foundRows(where, Array.isArray(rows) ? rows : [rows]);
      }
      case 'usernameTaken': {
        const taken = await users.usernameTaken(value, key);
        if (typeof taken !== 'boolean') throw new TypeError(`${where} must return a boolean`);
        return { response: { taken: Number(taken) } };
      }
      case 'create': {
        const created = await users.create(columns);
        const createdKey = toKey(isRow(created) ? created.key : created, `${where}: the new row's key`);
        return this.#writtenRow(where, createdKey, created, { created: createdKey });
      }
      case 'update':
        return this.#writtenRow(where, key, await users.update(key, columns, condition), {});
      default:
        throw new ClerkError('CLERK_INTERNAL', `unknown store request: ${kind}`);
    }
  }

  /**
   * Responds to a write with the row as the table has it now, so that its types are checked at once, and because a table may
   * decide itself who is active. A method that returns no row, or not all of it, leaves it to `findByKey`.
   */
  async #writtenRow(where, key, returned, withoutRow) {
    const isComplete =
      isRow(returned) && REQUIRED.every((name) => returned[name] !== undefined || !this.#columns.includes(name));
    const row = isComplete ? returned : await this.#users.findByKey(key);
    if (!isRow(row)) {
      this.#rows.delete(key);
      return { response: withoutRow, row: null };
    }
    return { response: { rows: [this.#flatten(where, row)] }, row };
  }

  #foundRows(where, rows) {
    // Two rows are already ambiguous; one that the application has deactivated must be among them.
    const isDeactivated = (row) => toBoolean(row.isActive) === false && toBoolean(row.bannedByClerk) !== true;
    const found = rows
      .filter((row) => row !== null && row !== undefined)
      .sort((one, other) => isDeactivated(other) - isDeactivated(one))
      .slice(0, 2);
    return {
      response: { rows: found.map((row) => this.#flatten(where, row)) },
      row: found.length === 1 ? found[0] : null,
    };
  }

  /** Returns a row as [key, ...columns]. Rejects any other type, a missing `isActive` among them. */
  #flatten(where, row) {
    if (!isRow(row)) throw new TypeError(`${where} must return a row or null`);
    const flat = [toKey(row.key, `${where}: row.key`)];
    for (const [column, name] of native.columns.entries()) {
      const value = this.#columns.includes(name) ? (row[name] ?? null) : undefined;
      const typeError = (expected) => new TypeError(`${where}: row.${name} must be ${expected}`);
      if (value === undefined) {
        flat.push(null);
      } else if (column < STRING_COLUMNS) {
        if (value !== null && typeof value !== 'string') throw typeError('a string or null');
        flat.push(value);
      } else if (MILLISECONDS.includes(name)) {
        const milliseconds = toMilliseconds(value);
        if (milliseconds === undefined) throw typeError('milliseconds since 1970 or null');
        flat.push(milliseconds);
      } else {
        const flag = row[name] === undefined ? undefined : toBoolean(value);
        if (flag === undefined) throw typeError('a boolean');
        flat.push(Number(flag));
      }
    }
    this.#rows.set(flat[0], row);
    return flat;
  }
}

/** The requests of one pending call, with their common deadline. */
class StoreSession {
  /** The error that a store method threw, or its timeout. */
  error = undefined;
  /** The row that the store returned last. */
  row = null;
  #execute;
  #timeout;
  #timer;

  constructor(execute, timeoutMs) {
    this.#execute = execute;
    this.#timeout = new Promise((_, reject) => {
      const error = () =>
        new ClerkError('CLERK_STORE_TIMEOUT', `the user store did not respond within ${timeoutMs} ms`);
      this.#timer = setTimeout(() => reject(error()), timeoutMs);
    });
    this.#timeout.catch(() => {});
  }

  /** Returns the response to a request. A failure is a response, too. */
  async respond(request) {
    const isWrite = request.kind === 'create' || request.kind === 'update';
    try {
      const { response, row } = await this.#executeAgain(request);
      if (row !== undefined) this.row = row;
      return response;
    } catch (error) {
      if (isWrite && isConflict(error)) return { conflict: true };
      this.error = error;
      return { failed: 'the user store failed' };
    }
  }

  /** Executes a request, again if the database aborts it because of another transaction, within the deadline. */
  async #executeAgain(request) {
    for (let restarts = 0; ; restarts++) {
      try {
        return await Promise.race([this.#execute(request), this.#timeout]);
      } catch (error) {
        if (restarts === MAX_RESTARTS || !isAborted(error)) throw error;
        await Promise.race([sleep(Math.random() * 2 ** restarts), this.#timeout]);
      }
    }
  }

  end() {
    clearTimeout(this.#timer);
  }
}

/** Finishes a call whose user table is that of the setting `database`: the library queries it, on a thread of its own. */
async function runOnDatabase(pending) {
  while (native.pending.request(pending) !== null) {
    if ((await native.pending.fetch(pending)).status !== 'CLERK_OK') break;
  }
  return native.pending.finish(pending);
}

module.exports = { UserStore, isInStoreCall, runOnDatabase };
