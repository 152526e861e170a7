// A SqlUserStore over each library; the README shows the same lines.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
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

/** Generates Prisma's client. The path of an engine keeps the generator, which needs none, from downloading it. */
function prismaClient(provider) {
  const folder = join(import.meta.dirname, 'node_modules', '.prisma', provider);
  const schema = join(folder, 'schema.prisma');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    schema,
    [
      'generator client {\n  provider = "prisma-client-js"\n  output = "./client"\n}',
      `datasource db {\n  provider = "${provider}"\n}`,
      'model Note {\n  id Int @id\n}',
    ].join('\n'),
  );
  execFileSync(process.execPath, [require.resolve('prisma/build/index.js'), 'generate', '--schema', schema], {
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
    cwd: folder,
  });
  return require(join(folder, 'client')).PrismaClient;
}

/** Each function returns `{store, close}`. */
export const libraries = {
  async pg(source, table) {
    const { default: pg } = await import('pg');
    const pool = new pg.Pool({ connectionString: source, max: THREADS });
    // A server that restarts ends idle connections: without a listener that would end the process.
    pool.on('error', () => {});
    const store = new SqlUserStore({ dialect: 'postgresql', table, query: (sql, values) => pool.query(sql, values) });
    return { store, close: () => pool.end() };
  },

  async mysql2(source, table) {
    const { default: mysql } = await import('mysql2/promise');
    const pool = mysql.createPool({ ...mysqlOptions(source), connectionLimit: THREADS });
    const store = new SqlUserStore({ dialect: 'mysql', table, query: (sql, values) => pool.execute(sql, values) });
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
    db.$client.on('error', () => {});
    const query = (sql, values) => db.$client.query(sql, values);
    const store = new SqlUserStore({ dialect: 'postgresql', table, query });
    return { store, close: () => db.$client.end() };
  },

  async prismaPostgres(source, table) {
    const { PrismaPg } = await import('@prisma/adapter-pg');
    const PrismaClient = prismaClient('postgresql');
    const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: source, max: THREADS }) });
    const query = (sql, values) => prisma.$queryRawUnsafe(sql, ...values);
    const store = new SqlUserStore({ dialect: 'postgresql', table, query });
    return { store, close: () => prisma.$disconnect() };
  },

  async prismaMysql(source, table) {
    const { PrismaMariaDb } = await import('@prisma/adapter-mariadb');
    const PrismaClient = prismaClient('mysql');
    const prisma = new PrismaClient({
      adapter: new PrismaMariaDb({ ...mysqlOptions(source), connectionLimit: THREADS }),
    });
    const query = (sql, values) =>
      sql.startsWith('SELECT') ? prisma.$queryRawUnsafe(sql, ...values) : prisma.$executeRawUnsafe(sql, ...values);
    const store = new SqlUserStore({ dialect: 'mysql', table, query });
    return { store, close: () => prisma.$disconnect() };
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
