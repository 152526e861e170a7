// A user store: six methods over your user table. This one is in memory; the comments show the SQL statements.
import { ConflictError } from 'clerk-auth';

const same = (a, b) => a?.toLowerCase() === b?.toLowerCase();

export class Accounts {
  /** All columns, so that no process overwrites newer data with older. */
  columns = [
    'clerkId',
    'email',
    'username',
    'firstName',
    'lastName',
    'imageUrl',
    'lastActiveAtMs',
    'isActive',
    'bannedByClerk',
    'clerkUpdatedAtMs',
  ];
  #rows = new Map();

  async findByKey(key) {
    return this.#rows.get(key); // select * from account where id = $1
  }

  async findByClerkId(clerkId) {
    return this.#all().find((row) => row.clerkId === clerkId); // … where clerk_id = $1
  }

  async findByEmail(email) {
    return this.#all().filter((row) => row.email && same(row.email, email)); // … where lower(email) = lower($1) order by is_active, banned_by_clerk limit 2
  }

  async usernameTaken(username, exceptKey) {
    return this.#all().some((row) => row.key !== exceptKey && same(row.username, username));
  }

  async create(columns) {
    const row = { key: String(this.#rows.size + 1), ...columns };
    this.#checkUnique(row);
    this.#rows.set(row.key, row);
    return row; // insert into account (…) values (…) returning *
  }

  async update(key, columns, { onlyIfUnlinked, maxVersion, onlyIfActive, onlyIfBanned }) {
    const old = this.#rows.get(key);
    const isNewer = maxVersion !== null && (old?.clerkUpdatedAtMs ?? 0) > maxVersion;
    const isOtherwise = (onlyIfActive && !old?.isActive) || (onlyIfBanned && (old?.isActive || !old?.bannedByClerk));
    // No row was updated: it was deleted, linked or changed meanwhile.
    if (old === undefined || (onlyIfUnlinked && old.clerkId) || isNewer || isOtherwise) throw new ConflictError();
    const row = { ...old, ...columns };
    this.#checkUnique(row);
    this.#rows.set(key, row);
    // update account set … where id = $1 and (not $2 or clerk_id is null)
    //   and ($3 is null or clerk_updated_at is null or clerk_updated_at <= $3)
    //   and (not $4 or is_active) and (not $5 or (banned_by_clerk and not is_active)) returning *
    return row;
  }

  /** In SQL: `unique (clerk_id)` and `unique (lower(username))`. PostgreSQL reports a conflict as 23505. */
  #checkUnique({ key, clerkId, username }) {
    const clashes = (row) => row.key !== key && (row.clerkId === clerkId || same(row.username, username));
    if (this.#all().some(clashes)) throw new ConflictError();
  }

  #all() {
    return [...this.#rows.values()];
  }
}
