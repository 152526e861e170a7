// Every library passes the tests that every user store must pass.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { libraries } from './stores.mjs';

const require = createRequire(import.meta.url);
const { ClerkClient } = require(process.env.STORES_CLERK_AUTH);
const { SqlUserStore } = require(join(process.env.STORES_CLERK_AUTH, 'sql.js'));
const { startTestClerk, userStoreTests } = require(join(process.env.STORES_CLERK_AUTH, 'testing.js'));
const { STORES_POSTGRES, STORES_MARIADB } = process.env;

const clerk = await startTestClerk();
after(() => clerk.close());

/** A connection to MariaDB. */
async function administrator() {
  const mysql = await import('mysql2/promise');
  const [, user, host, port, database] = /^(\w+)@tcp\(([^:]+):(\d+)\)\/(\w+)$/.exec(STORES_MARIADB);
  const db = await mysql.default.createConnection({ user, host, port: Number(port), database });
  return { db, close: () => db.end() };
}

test('MySQL, the searches of a first sign-in use indexes', async () => {
  const { db, close } = await administrator();
  const searches = [];
  const query = (sql, values) => {
    if (sql.includes('FROM `searched_node`')) searches.push([sql, values]);
    return db.execute(sql, values);
  };
  const store = new SqlUserStore({ dialect: 'mysql', table: 'searched_node', query });
  await store.createTable();
  await db.query(
    "INSERT INTO searched_node (email, username) SELECT CONCAT('e', seq, '@x'), CONCAT('u', seq) FROM seq_1_to_5000",
  );
  await db.query('ANALYZE TABLE searched_node');
  assert.equal((await store.findByEmail('E70@X')).length, 1);
  assert.equal(await store.usernameTaken('U70', '1'), true);
  assert.equal(searches.length, 2);
  for (const [sql, values] of searches) {
    const [[{ type }]] = await db.query(`EXPLAIN ${sql}`, values);
    assert.notEqual(type, 'ALL', sql);
  }
  await close();
});

test('PostgreSQL, a database in a Turkish locale', async (t) => {
  const { default: pg } = await import('pg');
  const db = new pg.Client(STORES_POSTGRES);
  await db.connect();
  await db.query(
    "CREATE DATABASE turkish_node LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C.UTF-8' ENCODING 'UTF8' TEMPLATE template0",
  );
  await db.end();
  const source = new URL(STORES_POSTGRES);
  source.pathname = '/turkish_node';
  const { store, close } = await libraries.pg(String(source), 'account');
  await store.createTable();
  for (const { name, run } of userStoreTests(() => store)) await t.test(name, run);
  await close();
});

for (const [name, open] of Object.entries(libraries)) {
  const isMysql = /mysql/i.test(name);
  const source = isMysql ? STORES_MARIADB : STORES_POSTGRES;
  const { store, close } = await open(source, `library_${name}`);
  await store.createTable();
  after(close);
  for (const { name: contract, run } of userStoreTests(() => store)) test(`${name}, ${contract}`, run);

  test(`${name}, a client signs users in and has the whole row`, async () => {
    const client = new ClerkClient({ ...clerk.options, users: store });
    const { id } = clerk.user({ email: `${name}@example.com`, username: name });
    const headers = clerk.headers({ userId: id });
    const first = await client.authenticate({ headers });
    assert.equal(first.status, 'signed-in', String(first.error?.cause));
    const { row } = (await client.authenticate({ headers })).localUser;
    assert.deepEqual([row.clerk_id, row.email], [id, `${name}@example.com`]);
    await client.close();
  });

  if (!isMysql) {
    test(`${name}, a table is created by many at once`, async () => {
      for (let round = 0; round < 5; round++) {
        const many = await Promise.all(Array.from({ length: 8 }, () => open(source, `many_${name}_${round}`)));
        // So that each has a connection.
        await Promise.all(many.map(({ store: each }) => each.usernameTaken('x', null).catch(() => {})));
        await Promise.all(many.map(({ store: each }) => each.createTable()));
        await Promise.all(many.map((each) => each.close()));
      }
    });

    test(`${name}, a generated key that exists is named`, async () => {
      const table = `behind_${name}`.toLowerCase();
      const behind = await open(source, table);
      await behind.store.createTable();
      const { default: pg } = await import('pg');
      const db = new pg.Client(source);
      await db.connect();
      await db.query(`INSERT INTO ${table} (id, username) SELECT i, 'own' || i FROM generate_series(1, 50) AS i`);
      await db.end();
      await assert.rejects(behind.store.create({ username: 'ada' }), new RegExp(`${table}_pkey: the key exists`));
      await behind.close();
    });

    test(`${name}, a trigger after the write decides who is active`, async () => {
      const table = `triggered_${name}`.toLowerCase();
      const triggered = await open(source, table);
      await triggered.store.createTable();
      const { default: pg } = await import('pg');
      const db = new pg.Client(source);
      await db.connect();
      await db.query(
        `CREATE FUNCTION ${table}() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN UPDATE ${table} SET is_active = FALSE WHERE id = NEW.id; RETURN NEW; END $$`,
      );
      await db.query(`CREATE TRIGGER approval AFTER INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION ${table}()`);
      const client = new ClerkClient({ ...clerk.options, users: triggered.store });
      const { id } = clerk.user({ email: `${table}@example.com`, username: table });
      assert.equal((await client.authenticate({ headers: clerk.headers({ userId: id }) })).reason, 'user-inactive');
      await db.end();
      await client.close();
      await triggered.close();
    });

    test(`${name}, a table that compares Clerk ids without case is refused at start`, async () => {
      const table = `refused_${name}`.toLowerCase();
      const refused = await open(source, table);
      const { default: pg } = await import('pg');
      const db = new pg.Client(source);
      await db.connect();
      await db.query(
        `CREATE COLLATION ${table}_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      );
      await db.query(`CREATE TABLE ${table} (id BIGSERIAL PRIMARY KEY, clerk_id TEXT COLLATE ${table}_ci UNIQUE)`);
      const client = new ClerkClient({ ...clerk.options, users: refused.store });
      await assert.rejects(client.warmUp(), /clerk_id is compared without case/);
      assert.equal((await client.authenticate({ headers: clerk.headers() })).reason, 'store-error');
      await db.query(`ALTER TABLE ${table} ALTER clerk_id TYPE TEXT COLLATE "C"`);
      await client.warmUp();
      await db.end();
      await client.close();
      await refused.close();
    });
    continue;
  }
  test(`${name}, values that are escaped for another sql_mode are refused`, async () => {
    const { db, close: end } = await administrator();
    const [[{ mode }]] = await db.query('SELECT @@global.sql_mode AS mode');
    const escaped = await open(source, `escaped_${name}`);
    try {
      await escaped.store.createTable();
      await escaped.close();
      await db.query(`SET GLOBAL sql_mode = '${mode},NO_BACKSLASH_ESCAPES'`);
      const refused = await open(source, `escaped_${name}`);
      const client = new ClerkClient({ ...clerk.options, users: refused.store });
      await assert.rejects(client.warmUp(), /NO_BACKSLASH_ESCAPES/);
      await client.close();
      await refused.close();
    } finally {
      await db.query(`SET GLOBAL sql_mode = '${mode}'`);
      await end();
    }
  });

  test(`${name}, a table of another character set or collation is refused at start`, async () => {
    for (const [index, column] of [
      'clerk_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci UNIQUE',
      'clerk_id VARCHAR(255) CHARACTER SET latin1 COLLATE latin1_bin UNIQUE',
    ].entries()) {
      const table = `refused_${name}_${index}`;
      const refused = await open(source, table);
      const mysql = await import('mysql2/promise');
      const [, user, host, port, database] = /^(\w+)@tcp\(([^:]+):(\d+)\)\/(\w+)$/.exec(source);
      const db = await mysql.default.createConnection({ user, host, port: Number(port), database });
      await db.query(`CREATE TABLE ${table} (id BIGINT AUTO_INCREMENT PRIMARY KEY, ${column})`);
      await db.end();
      const client = new ClerkClient({ ...clerk.options, users: refused.store });
      await assert.rejects(client.warmUp(), /ALTER it to CHARACTER SET utf8mb4 COLLATE utf8mb4_bin/);
      assert.equal((await client.authenticate({ headers: clerk.headers() })).reason, 'store-error');
      await client.close();
      await refused.close();
    }
  });
}

for (const [name, database] of [
  ['PostgreSQL', STORES_POSTGRES],
  ['MariaDB', `mysql://${STORES_MARIADB.replace(/tcp\(|\)/g, '')}?sslmode=disable`],
]) {
  test(`${name}, the setting database is a table of the library`, async () => {
    // The shared one is closed when no test is left, and these are the last.
    const own = await startTestClerk();
    const client = new ClerkClient({ ...own.options, database });
    const { id } = own.user({ email: `library-${name}@example.com`, username: `library-${name}` });
    const headers = own.headers({ userId: id });
    const results = await Promise.all(Array.from({ length: 16 }, () => client.authenticate({ headers })));
    assert.deepEqual(new Set(results.map(({ status }) => status)), new Set(['signed-in']));
    assert.equal(new Set(results.map(({ localUser }) => localUser.key)).size, 1);
    await client.close();
    await own.close();
  });
}
