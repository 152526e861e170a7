// A user table in memory, with unique columns and asynchronous methods.
import { setImmediate as turn } from 'node:timers/promises';
import { ConflictError } from 'clerk-auth';

const same = (a, b) => typeof a === 'string' && typeof b === 'string' && a.toLowerCase() === b.toLowerCase();

export class UserTable {
  rows = [];
  log = [];
  /** Called before each method, with its name and arguments. */
  before = () => {};
  #last = 0;

  add(columns) {
    const row = { key: ++this.#last, isActive: true, bannedByClerk: false, ...columns };
    this.rows.push(row);
    return row;
  }

  get(clerkId) {
    return this.rows.find((row) => row.clerkId === clerkId);
  }

  /** Returns the names of the methods called since the last time. */
  takeLog() {
    return this.log.splice(0).join(' ');
  }

  async #enter(name, ...args) {
    this.log.push(name);
    await turn();
    return this.before(name, ...args);
  }

  #checkUnique(row, current) {
    const clashes = (other) =>
      other !== current && (other.clerkId === row.clerkId || same(other.username, row.username));
    if (this.rows.some(clashes)) throw new ConflictError();
  }

  async findByKey(key) {
    await this.#enter('findByKey', key);
    return this.rows.find((row) => String(row.key) === key);
  }

  async findByClerkId(clerkId) {
    await this.#enter('findByClerkId', clerkId);
    return this.get(clerkId) ?? null;
  }

  async findByEmail(email) {
    await this.#enter('findByEmail', email);
    return this.rows.filter((row) => same(row.email, email));
  }

  async usernameTaken(username, exceptKey) {
    await this.#enter('usernameTaken', username, exceptKey);
    return this.rows.some((row) => same(row.username, username) && String(row.key) !== exceptKey);
  }

  async create(columns) {
    await this.#enter('create', columns);
    this.#checkUnique(columns);
    return this.add(columns);
  }

  async update(key, columns, condition) {
    await this.#enter('update', key, columns, condition);
    const { onlyIfUnlinked, maxVersion, onlyIfActive, onlyIfBanned } = condition;
    const isAllowed = (row) =>
      !(onlyIfUnlinked && row.clerkId) &&
      (maxVersion === null || (row.clerkUpdatedAtMs ?? 0) <= maxVersion) &&
      (!onlyIfActive || row.isActive) &&
      (!onlyIfBanned || (row.bannedByClerk && !row.isActive));
    const row = this.rows.find((each) => String(each.key) === key && isAllowed(each));
    if (row === undefined) throw new ConflictError();
    this.#checkUnique({ ...row, ...columns }, row);
    return Object.assign(row, columns);
  }
}
