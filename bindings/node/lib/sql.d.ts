import { UpdateCondition, UserColumns, UserRow, UserStore } from './index';

export interface SqlOptions {
  /**
   * Executes a statement and returns what the driver returns: `(sql, values) => pool.query(sql, values)`
   * with pg, `pool.execute` with mysql2.
   * Rows are objects, in an array or in `rows`; for MySQL, the result of UPDATE has `affectedRows`.
   */
  query: (sql: string, values: unknown[]) => unknown;
  dialect: 'postgresql' | 'mysql' | 'sqlite';
  /** The name of the table, with or without a schema. Default: `clerk_user`. */
  table?: string;
  /** The name of the primary key. Default: `id`. */
  key?: string;
  /** The names of the columns. The table lacks those that are absent. Default: all, in snake case. */
  columns?: { [column in keyof UserColumns]?: string };
  /** Default: those of `createTable`. */
  columnLengths?: UserStore['columnLengths'];
  /** The placeholders of `query`. Default: `$1` for PostgreSQL, else `?`. */
  placeholder?: '?' | '$1';
  /** Whether keys are strings, such as UUIDs. Default: integers. */
  stringKey?: boolean;
  /** Returns the key of a new row. Default: the database generates it. */
  newKey?: () => string | number | bigint | Promise<string | number | bigint>;
}

/** A user store for PostgreSQL, MySQL, MariaDB and SQLite. Every write is one statement with its condition. */
export class SqlUserStore<Row extends UserRow = UserRow> implements UserStore<Row> {
  constructor(options: SqlOptions);
  readonly columns: (keyof UserColumns)[];
  readonly columnLengths: NonNullable<UserStore['columnLengths']>;
  findByKey(key: string): Promise<Row | null | undefined>;
  findByClerkId(clerkId: string): Promise<Row | null | undefined>;
  findByEmail(email: string): Promise<Row[]>;
  usernameTaken(username: string, exceptKey: string | null): Promise<boolean>;
  create(columns: UserColumns): Promise<Row>;
  update(key: string, columns: UserColumns, condition: UpdateCondition): Promise<Row>;
  /**
   * Rejects a table that compares Clerk ids without case, one of MySQL that is not utf8mb4, a connection to MySQL with the mode
   * NO_BACKSLASH_ESCAPES, a database of PostgreSQL that is not UTF8.
   */
  check(): Promise<void>;
  /** Creates the table if it does not exist: usernames are unique without case. */
  createTable(): Promise<void>;
}
