'use strict';
// The host's user table: an object with asynchronous methods, asked one step after another.

const { AsyncLocalStorage } = require('node:async_hooks');
const native = require('./native.js');
const { ClerkError } = require('./errors.js');

const METHODS = ['findByKey', 'findByClerkId', 'findByEmail', 'usernameTaken', 'create', 'update'];
const TEXTS = 6;

/** Whose store methods are running here. */
const inside = new AsyncLocalStorage();

function isInside(client) {
  for (let context = inside.getStore(); context !== undefined; context = context.outer) {
    if (context.client === client && context.isActive) return true;
  }
  return false;
}

function keyOf(value, where) {
  if (typeof value === 'string' && value !== '') return value;
  if (typeof value === 'bigint' || Number.isSafeInteger(value)) return String(value);
  throw new TypeError(`${where} must be a string or a whole number`);
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
    this.#columns = users.columns ?? native.columns;
    if (!Array.isArray(this.#columns) || !this.#columns.every((name) => native.columns.includes(name))) {
      throw new TypeError(`options.users.columns must be an array of ${native.columns.join(', ')}`);
    }
    // Without it nobody could be kept out by the table, silently.
    if (!this.#columns.includes('clerkId') && !this.#columns.includes('email')) {
      throw new TypeError('options.users.columns must hold `clerkId` or `email`');
    }
  }

  /** A sum of `1 << column`. */
  get mask() {
    return this.#columns.reduce((mask, name) => mask | (1 << native.columns.indexOf(name)), 0);
  }

  /** [column, characters, ...] */
  get lengths() {
    return Object.entries(this.#users.columnLengths ?? {}).flatMap(([name, characters]) => {
      const column = native.columns.indexOf(name);
      if (column < 0 || !Number.isSafeInteger(characters) || characters < 0) {
        throw new TypeError(`options.users.columnLengths.${name} must be a number of characters of a column`);
      }
      return [column, characters];
    });
  }

  /** Takes the steps that a pending call wants, within one deadline: what it has come to, the row and the failure seen. */
  async drive(pending) {
    const round = new Round((step) => this.#ask(step), this.#timeoutMs);
    try {
      let step;
      while ((step = native.pending.step(pending)) !== null) {
        if (step.kind !== 'fetch') {
          native.pending.answer(pending, await round.answer(step));
        } else if ((await native.pending.fetch(pending)).status !== 'CLERK_OK') {
          break;
        }
      }
      return { ...native.pending.finish(pending), row: round.row, cause: round.error };
    } finally {
      round.end();
    }
  }

  async #ask(step) {
    const context = { client: this.#client, outer: inside.getStore(), isActive: true };
    try {
      return await inside.run(context, () => this.#call(step));
    } finally {
      context.isActive = false;
    }
  }

  async #call({ kind, text, key, columns }) {
    const users = this.#users;
    const where = `users.${kind}()`;
    switch (kind) {
      case 'findByKey':
        return this.#found(where, [await users.findByKey(key)]);
      case 'findByClerkId':
        return this.#found(where, [await users.findByClerkId(text)]);
      case 'findByEmail': {
        const rows = await users.findByEmail(text);
        return this.#found(where, Array.isArray(rows) ? rows : [rows]);
      }
      case 'usernameTaken': {
        const taken = await users.usernameTaken(text, key);
        if (typeof taken !== 'boolean') throw new TypeError(`${where} must return a boolean`);
        return { reply: { taken: Number(taken) } };
      }
      case 'create': {
        const made = await users.create(columns);
        const row = made !== null && typeof made === 'object' ? made : null;
        return { reply: { created: keyOf(row ? row.key : made, `${where}: the new row's key`) }, row };
      }
      case 'update': {
        const row = await users.update(key, columns);
        return { reply: {}, row: row !== null && typeof row === 'object' ? row : null };
      }
      default:
        throw new ClerkError('CLERK_INTERNAL', `the library asks for the unknown step ${kind}`);
    }
  }

  #found(where, rows) {
    // Two tell as much as more.
    const there = rows.filter((row) => row !== null && row !== undefined).slice(0, 2);
    return { reply: { rows: there.map((row) => this.#flat(where, row)) }, row: there.length === 1 ? there[0] : null };
  }

  /** [key, ...columns], nothing of it odd: a table that says nothing about `isActive` lets nobody in. */
  #flat(where, row) {
    if (typeof row !== 'object') throw new TypeError(`${where} must return a row or null`);
    const flat = [keyOf(row.key, `${where}: row.key`)];
    for (const [column, name] of native.columns.entries()) {
      const value = this.#columns.includes(name) ? (row[name] ?? null) : undefined;
      const wrong = (what) => new TypeError(`${where}: row.${name} must be ${what}`);
      if (value === undefined) {
        flat.push(null);
      } else if (column < TEXTS) {
        if (value !== null && typeof value !== 'string') throw wrong('a string or null');
        flat.push(value);
      } else if (name === 'lastActiveAtMs') {
        if (value !== null && !Number.isSafeInteger(value)) throw wrong('milliseconds since 1970 or null');
        flat.push(value);
      } else {
        if (value !== true && value !== false && value !== 0 && value !== 1) throw wrong('a boolean');
        flat.push(Number(value));
      }
    }
    return flat;
  }
}

class Round {
  /** What the store failed with. */
  error = undefined;
  /** The row as the store showed it last. */
  row = null;
  #ask;
  #late;
  #timer;

  constructor(ask, timeoutMs) {
    this.#ask = ask;
    this.#late = new Promise((_, reject) => {
      const error = () => new ClerkError('CLERK_STORE_TIMEOUT', `the user store took longer than ${timeoutMs} ms`);
      this.#timer = setTimeout(() => reject(error()), timeoutMs);
    });
    this.#late.catch(() => {});
  }

  /** The reply to a step; a failure is one, too. */
  async answer(step) {
    try {
      const { reply, row } = await Promise.race([this.#ask(step), this.#late]);
      if (row !== undefined) this.row = row;
      return reply;
    } catch (error) {
      if (error?.code === 'CLERK_CONFLICT' && (step.kind === 'create' || step.kind === 'update'))
        return { conflict: true };
      this.error = error;
      return { failed: 'the user store failed' };
    }
  }

  end() {
    clearTimeout(this.#timer);
  }
}

module.exports = { UserStore, isInside };
