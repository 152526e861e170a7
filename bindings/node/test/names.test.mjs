// An outcome, a reason, a setting, an event has the name of the C header in JavaScript's spelling.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Auth, DIMENSION, STATUSES, TEXT } from '../lib/auth.js';
import { ClerkError } from 'clerk-auth';
import { failure, fromThrown } from '../lib/errors.js';
import events from '../lib/events.js';
import native from '../lib/native.js';
import settings from '../lib/settings.js';

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');
const header = read('../../../include/clerk_auth.h');
const types = read('../lib/index.d.ts');

const camel = (name) => name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

/** [name without its prefix, number] of a C enum. */
function enumOf(name) {
  const body = header.match(new RegExp(`enum ${name}\\n[^{]*\\{(.*?)\\};`, 's'))[1];
  const prefix = `${name.toUpperCase()}_`;
  const entries = [...body.matchAll(new RegExp(`${prefix}(\\w+) = (\\d+)`, 'g'))].map(([, word, number]) => [
    word,
    Number(number),
  ]);
  assert.ok(entries.length > 1, name);
  return entries;
}

/** The words of a union type, or the members of an interface. */
function unionOf(name) {
  const body = types.match(new RegExp(`export type ${name} =([^;]*);`))[1];
  return [...body.matchAll(/'([^']+)'/g)].map(([, word]) => word).sort();
}
function membersOf(name) {
  const body = types.match(new RegExp(`export interface ${name}[^{]*\\{(.*?)\\n\\}`, 's'))[1];
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)[?(:]/gm)].map(([, word]) => word).sort();
}
const listed = (words) => words.filter(Boolean).sort();

test('reasons', () => {
  const words = enumOf('clerk_reason').map(([word, number]) => {
    assert.equal(native.reasons[number], word.toLowerCase().replaceAll('_', '-'));
    return native.reasons[number];
  });
  assert.deepEqual(listed(native.reasons), words.sort());
  assert.deepEqual(unionOf('Reason'), words);
});

test('categories, sources, kinds of tokens', () => {
  for (const [name, list, type] of [
    ['clerk_category', native.categories, 'Category'],
    ['clerk_source', native.sources, 'Source'],
    ['clerk_token_kind', native.tokenTypes, 'TokenType'],
  ]) {
    const words = enumOf(name).map(([word, number]) => {
      assert.equal(list[number], word.toLowerCase());
      return list[number];
    });
    assert.deepEqual(listed(list), words.sort());
    assert.deepEqual(unionOf(type), words);
  }
});

test('outcomes', () => {
  const numbers = { CLERK_OK: 'signed-in' };
  for (const name of ['CLERK_SIGNED_OUT', 'CLERK_NO_CREDENTIALS', 'CLERK_UNAVAILABLE'])
    numbers[name] = name.slice(6).toLowerCase().replaceAll('_', '-');
  for (const [name, word] of Object.entries(numbers))
    assert.equal(STATUSES[Number(header.match(new RegExp(`#define ${name} (\\d+)`))[1])], word);
  assert.deepEqual(unionOf('Status'), Object.values(numbers).sort());
});

test('events', () => {
  const words = enumOf('clerk_event_kind').map(([word, number]) => {
    assert.equal(events.NAMES[number], camel(word));
    return events.NAMES[number];
  });
  assert.equal(events.NAMES.length, words.length + 1);
  assert.deepEqual(membersOf('ClerkEventMap'), ['log', ...words].sort());
});

test('how grave a log line is', () => {
  for (const [word, number] of enumOf('clerk_log_level')) assert.equal(events.LEVELS[number], word.toLowerCase());
});

test('texts, dimensions and columns have the numbers of the header', () => {
  for (const [word, number] of enumOf('clerk_attribute')) assert.equal(TEXT[camel(word)], number, word);
  assert.equal(Object.keys(TEXT).length, enumOf('clerk_attribute').length);
  for (const [word, number] of enumOf('clerk_check')) assert.equal(DIMENSION[camel(word)], number, word);
  assert.deepEqual(membersOf('Demands'), Object.keys(DIMENSION).sort());
  for (const [word, number] of enumOf('clerk_column')) assert.equal(native.columns[number], camel(word), word);
  assert.deepEqual(membersOf('UserColumns'), [...native.columns].sort());
  assert.deepEqual(membersOf('UserRow'), ['key', ...native.columns].sort());
});

test('settings, as the README at the top lists them', () => {
  const readme = read('../../../README.md');
  const table = readme.slice(readme.indexOf('<!-- settings'), readme.indexOf('<!-- /settings'));
  const rows = [...table.matchAll(/^\| `(\w+)` \|[^|]*\|[^|]*\| (?:`(CLERK_\w+)`)?/gm)];
  assert.deepEqual(
    rows.map(([, name]) => name),
    native.settings,
  );
  assert.deepEqual([...settings.SETTINGS.keys()], native.settings.map(camel));
  assert.deepEqual(membersOf('Settings'), native.settings.map(camel).sort());
  const environment = Object.fromEntries(
    rows.filter(([, , variable]) => variable).map(([, name, variable]) => [variable, camel(name)]),
  );
  assert.deepEqual(settings.ENVIRONMENT, environment);
});

test('codes of errors, as the README lists them', () => {
  const readme = read('../README.md');
  const table = readme.slice(readme.indexOf('\n## Errors'), readme.indexOf('\n## Threads'));
  const codes = [...table.matchAll(/`(CLERK_\w+)`/g)].map(([, code]) => code);
  assert.deepEqual(unionOf('ErrorCode'), [...new Set(codes)].sort());
});

test('an answer has the members that its type has', () => {
  const own = Object.getOwnPropertyNames(Auth.prototype).filter((name) => name !== 'constructor' && name !== 'toJSON');
  assert.deepEqual(membersOf('Auth'), own.sort());
});

test('versions agree', () => {
  const cargo = read('../../../Cargo.toml').match(/^version = "(.*)"/m)[1];
  const { version } = JSON.parse(read('../package.json'));
  assert.equal(version, cargo);
  assert.equal(native.version, cargo);
  assert.equal(native.builtFor, cargo);
});

test('what the addon throws is a ClerkError with a code of the list, whatever the status', () => {
  const thrown = (code) => Object.assign(new Error('x'), { code });
  for (const [code, expected] of Object.entries({
    CLERK_E_PANIC: 'CLERK_PANIC',
    CLERK_E_CONFIG: 'CLERK_CONFIG',
    CLERK_E_STATE: 'CLERK_INTERNAL',
    CLERK_E_ARGUMENT: 'CLERK_INTERNAL',
    CLERK_CLOSED: 'CLERK_CLOSED',
    CLERK_INTERNAL: 'CLERK_INTERNAL',
    undefined: 'CLERK_INTERNAL',
  })) {
    const cause = thrown(code);
    const error = fromThrown(cause);
    assert.ok(error instanceof ClerkError);
    assert.deepEqual([error.code, error.cause], [expected, cause]);
  }
  assert.equal(failure('CLERK_E_STATE', null).code, 'CLERK_INTERNAL');
  assert.equal(failure('CLERK_CLOSED', null).code, 'CLERK_CLOSED');
  for (const own of [new TypeError('x'), new ClerkError('CLERK_WEBHOOK', 'x')]) assert.equal(fromThrown(own), own);
});
