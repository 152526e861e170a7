// Names and numbers agree with the C header, the READMEs and the type declarations.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Auth } from '../lib/auth.js';
import { ATTRIBUTE, CHECK, COLUMN, ENVIRONMENT, LOG_LEVELS, SETTINGS, STATUSES } from '../lib/enums.js';
import { ClerkError } from 'clerk-auth';
import { fromException, fromStatus } from '../lib/errors.js';
import events from '../lib/events.js';
import native from '../lib/native.js';

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');
const header = read('../../../include/clerk_auth.h');
const types = read('../lib/index.d.ts') + read('../lib/enums.d.ts').replaceAll(/^ *\/\/.*$/gm, '');

const camelCase = (name) => name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

/** Returns [name without its prefix, number] of a C enum. */
function parseEnum(name) {
  const body = header.match(new RegExp(`enum ${name}\\b[^{;]*\\{(.*?)\\n\\}`, 's'))[1];
  const prefix = `${name.toUpperCase()}_`;
  const entries = [...body.matchAll(new RegExp(`${prefix}(\\w+) = (\\d+)`, 'g'))].map(([, word, number]) => [
    word,
    Number(number),
  ]);
  assert.ok(entries.length > 1, name);
  return entries;
}

/** Returns the strings of a union type. */
function parseUnion(name) {
  const body = types.match(new RegExp(`export type ${name} =([^;]*);`))[1];
  return [...body.matchAll(/'([^']+)'/g)].map(([, word]) => word).sort();
}

/** Returns the members of an interface. */
function parseMembers(name) {
  const body = types.match(new RegExp(`interface ${name}\\b[^{]*\\{(.*?)\\n\\}`, 's'))[1];
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)[?(:]/gm)].map(([, word]) => word).sort();
}
const sorted = (names) => names.filter(Boolean).sort();

test('reasons agree with the header and the types', () => {
  const words = parseEnum('clerk_reason').map(([word, number]) => {
    assert.equal(native.reasons[number], word.toLowerCase().replaceAll('_', '-'));
    return native.reasons[number];
  });
  assert.deepEqual(sorted(native.reasons), words.sort());
  assert.deepEqual(parseUnion('Reason'), words);
});

test('categories, sources and token types agree with the header and the types', () => {
  for (const [name, list, type] of [
    ['clerk_category', native.categories, 'Category'],
    ['clerk_source', native.sources, 'Source'],
    ['clerk_token_kind', native.tokenTypes, 'TokenType'],
  ]) {
    const words = parseEnum(name).map(([word, number]) => {
      assert.equal(list[number], word.toLowerCase());
      return list[number];
    });
    assert.deepEqual(sorted(list), words.sort());
    assert.deepEqual(parseUnion(type), words);
  }
});

test('statuses agree with the header and the types', () => {
  const numbers = { CLERK_OK: 'signed-in' };
  for (const name of ['CLERK_SIGNED_OUT', 'CLERK_NO_CREDENTIALS', 'CLERK_UNAVAILABLE'])
    numbers[name] = name.slice(6).toLowerCase().replaceAll('_', '-');
  for (const [name, word] of Object.entries(numbers))
    assert.equal(STATUSES[Number(header.match(new RegExp(`^ +${name} = (\\d+),`, 'm'))[1])], word);
  assert.deepEqual(parseUnion('Status'), Object.values(numbers).sort());
});

test('events agree with the header and the types', () => {
  const words = parseEnum('clerk_event_kind').map(([word, number]) => {
    assert.equal(events.NAMES[number], camelCase(word));
    return events.NAMES[number];
  });
  assert.equal(events.NAMES.length, words.length + 1);
  assert.deepEqual(parseUnion('EventName'), words.sort());
});

test('log levels agree with the header', () => {
  for (const [word, number] of parseEnum('clerk_log_level')) assert.equal(LOG_LEVELS[number - 1], word.toLowerCase());
});

test('attributes, checks and columns agree with the header and the types', () => {
  for (const [word, number] of parseEnum('clerk_attribute')) assert.equal(ATTRIBUTE[camelCase(word)], number, word);
  assert.equal(Object.keys(ATTRIBUTE).length, parseEnum('clerk_attribute').length);
  for (const [word, number] of parseEnum('clerk_check')) assert.equal(CHECK[camelCase(word)], number, word);
  assert.deepEqual(parseMembers('AuthorizationParams'), Object.keys(CHECK).sort());
  for (const [word, number] of parseEnum('clerk_column')) {
    assert.equal(native.columns[number], camelCase(word), word);
    assert.equal(COLUMN[camelCase(word)], number, word);
  }
  assert.deepEqual(parseMembers('UserColumns'), [...native.columns].sort());
  assert.deepEqual(parseMembers('UserRow'), ['key', ...native.columns].sort());
});

test('settings and variables agree with the README of the library', () => {
  const readme = read('../../../README.md');
  const table = readme.slice(readme.indexOf('<!-- settings'), readme.indexOf('<!-- /settings'));
  const rows = [...table.matchAll(/^\| `(\w+)` \|[^|]*\|[^|]*\| (?:`(CLERK_\w+)`)?/gm)];
  assert.deepEqual(
    rows.map(([, name]) => name),
    native.settings,
  );
  assert.deepEqual([...SETTINGS.keys()], native.settings.map(camelCase));
  assert.deepEqual(parseMembers('Settings'), native.settings.map(camelCase).sort());
  const environment = Object.fromEntries(
    rows.filter(([, , variable]) => variable).map(([, name, variable]) => [variable, camelCase(name)]),
  );
  assert.deepEqual(ENVIRONMENT, environment);
});

test('error codes agree with the README', () => {
  const readme = read('../README.md');
  const table = readme.slice(readme.indexOf('\n## Errors'), readme.indexOf('\n## Threads'));
  const codes = [...table.matchAll(/`(CLERK_\w+)`/g)].map(([, code]) => code);
  assert.deepEqual(parseUnion('ErrorCode'), [...new Set(codes)].sort());
});

test('Auth has the members of its type', () => {
  const own = Object.getOwnPropertyNames(Auth.prototype).filter((name) => name !== 'constructor' && name !== 'toJSON');
  // A member that the union lacks is a type error where it is used.
  assert.deepEqual([...parseMembers('AuthBase'), ...parseMembers('SignedOutAuth')].sort(), own.sort());
});

test('versions of library, addon and package agree', () => {
  const cargo = read('../../../Cargo.toml').match(/^version = "(.*)"/m)[1];
  const { version } = JSON.parse(read('../package.json'));
  assert.equal(version, cargo);
  assert.equal(native.version, cargo);
  assert.equal(native.packageVersion, cargo);
});

test('errors of the addon become ClerkErrors with a documented code', () => {
  const exception = (code) => Object.assign(new Error('x'), { code });
  for (const [code, expected] of Object.entries({
    CLERK_E_PANIC: 'CLERK_PANIC',
    CLERK_E_CONFIG: 'CLERK_CONFIG',
    CLERK_E_STATE: 'CLERK_INTERNAL',
    CLERK_E_ARGUMENT: 'CLERK_INTERNAL',
    CLERK_CLOSED: 'CLERK_CLOSED',
    CLERK_INTERNAL: 'CLERK_INTERNAL',
    undefined: 'CLERK_INTERNAL',
  })) {
    const cause = exception(code);
    const error = fromException(cause);
    assert.ok(error instanceof ClerkError);
    assert.deepEqual([error.code, error.cause], [expected, cause]);
  }
  assert.equal(fromStatus('CLERK_E_STATE', null).code, 'CLERK_INTERNAL');
  assert.equal(fromStatus('CLERK_CLOSED', null).code, 'CLERK_CLOSED');
  for (const own of [new TypeError('x'), new ClerkError('CLERK_WEBHOOK', 'x')]) assert.equal(fromException(own), own);
});
