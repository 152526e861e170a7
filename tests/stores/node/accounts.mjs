// The user store of bindings/node/examples/accounts.mjs with the statements that its comments show, in PostgreSQL.
import { createRequire } from 'node:module';

const { ConflictError } = createRequire(import.meta.url)(process.env.STORES_CLERK_AUTH);

const COLUMNS = {
  clerkId: 'clerk_id',
  email: 'email',
  username: 'username',
  firstName: 'first_name',
  lastName: 'last_name',
  imageUrl: 'image_url',
  lastActiveAtMs: 'last_active_at_ms',
  isActive: 'is_active',
  bannedByClerk: 'banned_by_clerk',
  clerkUpdatedAtMs: 'clerk_updated_at_ms',
};

export class Accounts {
  columns = Object.keys(COLUMNS);
  columnLengths = { email: 320, username: 150, firstName: 150, imageUrl: 2048 };
  #pool;
  #table;

  constructor(pool, table) {
    this.#pool = pool;
    this.#table = table;
  }

  async #rows(sql, values) {
    const list = Object.entries(COLUMNS).map(([name, column]) => `${column} as "${name}"`);
    const statement = sql.replace('*', `id as key, ${list.join(', ')}`).replace('account', this.#table);
    try {
      const { rows } = await this.#pool.query(statement, values);
      return rows;
    } catch (error) {
      if (error.code === '23505') throw new ConflictError(undefined, { cause: error });
      throw error;
    }
  }

  async findByKey(key) {
    return (await this.#rows('select * from account where id = $1', [key]))[0];
  }

  async findByClerkId(clerkId) {
    return (await this.#rows('select * from account where clerk_id = $1', [clerkId]))[0];
  }

  findByEmail(email) {
    return this.#rows('select * from account where lower(email) = lower($1) limit 2', [email]);
  }

  async usernameTaken(username, exceptKey) {
    const sql = 'select * from account where lower(username) = lower($1) and ($2::bigint is null or id <> $2) limit 1';
    return (await this.#rows(sql, [username, exceptKey])).length > 0;
  }

  async create(columns) {
    const names = Object.keys(columns);
    const list = names.map((name) => COLUMNS[name]).join(', ');
    const values = names.map((_, i) => `$${i + 1}`).join(', ');
    const sql = `insert into account (${list}) values (${values}) returning *`;
    return (await this.#rows(sql, Object.values(columns)))[0];
  }

  async update(key, columns, { onlyIfUnlinked, maxVersion, onlyIfActive, onlyIfBanned }) {
    const sets = Object.keys(columns).map((name, i) => `${COLUMNS[name]} = $${i + 6}`);
    const sql = `update account set ${sets.join(', ')} where id = $1 and (not $2 or clerk_id is null)
      and ($3::bigint is null or clerk_updated_at_ms is null or clerk_updated_at_ms <= $3)
      and (not $4 or is_active) and (not $5 or (banned_by_clerk and not is_active)) returning *`;
    const values = [key, onlyIfUnlinked, maxVersion, onlyIfActive, onlyIfBanned, ...Object.values(columns)];
    const [row] = await this.#rows(sql, values);
    if (row === undefined) throw new ConflictError();
    return row;
  }
}
