'use strict';
// Adapts the application's user table, an object of methods, to the library's requests.

const { AsyncLocalStorage } = require('node:async_hooks');
const native = require('./native.js');
const { ClerkError } = require('./errors.js');

const METHODS = ['findByKey', 'findByClerkId', 'findByEmail', 'usernameTaken', 'create', 'update'];
const STRING_COLUMNS = 6;
const MILLISECONDS = ['lastActiveAtMs', 'clerkUpdatedAtMs'];
/** Optional: a table has this column only if `columns` lists it. */
const OPTIONAL = 'clerkUpdatedAtMs';

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

class UserStore {
  #client;
  #users;
  #timeoutMs;
  #columns;

  constructor(client, users, timeoutMs) {
    if (users === null || typeof users !== 'object') throw new TypeError('options.users must be an object');
    for (const name of METHODS) {
      if (typeof users[name] !== 'function') throw new TypeError(`options.users.${name} must be a function`);
    }
    this.#client = client;
    this.#users = users;
    this.#timeoutMs = timeoutMs;
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
      return await contexts.run(context, () => this.#call(request));
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
        const row = created !== null && typeof created === 'object' ? created : null;
        const createdKey = toKey(row ? row.key : created, `${where}: the new row's key`);
        return { response: this.#inactiveRow(where, columns, row) ?? { created: createdKey }, row };
      }
      case 'update': {
        const updated = await users.update(key, columns, condition);
        const row = updated !== null && typeof updated === 'object' ? updated : null;
        return { response: this.#inactiveRow(where, columns, row) ?? {}, row };
      }
      default:
        throw new ClerkError('CLERK_INTERNAL', `unknown store request: ${kind}`);
    }
  }

  /** A table may decide itself who is active, for example to await approval: then the row that was written is the response. */
  #inactiveRow(where, columns, row) {
    if (row === null || (row.isActive !== false && row.isActive !== 0)) return null;
    return { rows: [this.#flatten(where, { ...columns, ...row })] };
  }

  #foundRows(where, rows) {
    // Two rows are already ambiguous.
    const found = rows.filter((row) => row !== null && row !== undefined).slice(0, 2);
    return {
      response: { rows: found.map((row) => this.#flatten(where, row)) },
      row: found.length === 1 ? found[0] : null,
    };
  }

  /** Returns a row as [key, ...columns]. Rejects any other type, a missing `isActive` among them. */
  #flatten(where, row) {
    if (typeof row !== 'object') throw new TypeError(`${where} must return a row or null`);
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
        if (value !== null && !Number.isSafeInteger(value)) throw typeError('milliseconds since 1970 or null');
        flat.push(value);
      } else {
        if (value !== true && value !== false && value !== 0 && value !== 1) throw typeError('a boolean');
        flat.push(Number(value));
      }
    }
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
    try {
      const { response, row } = await Promise.race([this.#execute(request), this.#timeout]);
      if (row !== undefined) this.row = row;
      return response;
    } catch (error) {
      if (error?.code === 'CLERK_CONFLICT' && (request.kind === 'create' || request.kind === 'update'))
        return { conflict: true };
      this.error = error;
      return { failed: 'the user store failed' };
    }
  }

  end() {
    clearTimeout(this.#timer);
  }
}

module.exports = { UserStore, isInStoreCall };
