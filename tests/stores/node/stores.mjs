// A SqlUserStore over each library; the README shows the same lines.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const { SqlUserStore } = require(join(process.env.STORES_CLERK_AUTH, 'sql.js'));
const THREADS = 16;

/** `postgres://…` and go-sql-driver's `root@tcp(host:port)/name` as the options of Node's drivers. */
function mysqlOptions(source) {
  const [, user, host, port, database] = /^(\w+)@tcp\(([^:]+):(\d+)\)\/(\w+)$/.exec(source);
  return { user, host, port: Number(port), database };
}

/** Each function returns `{store, close}`. */
export const libraries = {
  async pg(source, table) {
    const { default: pg } = await import('pg');
    const pool = new pg.Pool({ connectionString: source, max: THREADS });
    const store = new SqlUserStore({ dialect: 'postgresql', table, query: (sql, values) => pool.query(sql, values) });
    return { store, close: () => pool.end() };
  },

  async mysql2(source, table) {
    const { default: mysql } = await import('mysql2/promise');
    const pool = mysql.createPool({ ...mysqlOptions(source), connectionLimit: THREADS });
    const store = new SqlUserStore({ dialect: 'mysql', table, query: (sql, values) => pool.query(sql, values) });
    return { store, close: () => pool.end() };
  },

  async knexPostgres(source, table) {
    const { default: knex } = await import('knex');
    const db = knex({ client: 'pg', connection: source, pool: { min: 0, max: THREADS } });
    const query = (sql, values) => db.raw(sql, values);
    const store = new SqlUserStore({ dialect: 'postgresql', placeholder: '?', table, query });
    return { store, close: () => db.destroy() };
  },

  async knexMysql(source, table) {
    const { default: knex } = await import('knex');
    const db = knex({ client: 'mysql2', connection: mysqlOptions(source), pool: { min: 0, max: THREADS } });
    const store = new SqlUserStore({ dialect: 'mysql', table, query: (sql, values) => db.raw(sql, values) });
    return { store, close: () => db.destroy() };
  },

  async drizzle(source, table) {
    const { drizzle } = await import('drizzle-orm/node-postgres');
    const { default: pg } = await import('pg');
    const db = drizzle(new pg.Pool({ connectionString: source, max: THREADS }));
    const query = (sql, values) => db.$client.query(sql, values);
    const store = new SqlUserStore({ dialect: 'postgresql', table, query });
    return { store, close: () => db.$client.end() };
  },

  async typeormPostgres(source, table) {
    const { DataSource } = await import('typeorm');
    const db = await new DataSource({ type: 'postgres', url: source, poolSize: THREADS }).initialize();
    const store = new SqlUserStore({ dialect: 'postgresql', table, query: (sql, values) => db.query(sql, values) });
    return { store, close: () => db.destroy() };
  },

  async typeormMysql(source, table) {
    const { DataSource } = await import('typeorm');
    const { user, ...rest } = mysqlOptions(source);
    const db = await new DataSource({ type: 'mysql', username: user, poolSize: THREADS, ...rest }).initialize();
    const store = new SqlUserStore({ dialect: 'mysql', table, query: (sql, values) => db.query(sql, values) });
    return { store, close: () => db.destroy() };
  },
};
