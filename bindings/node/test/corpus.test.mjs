// The recorded cases give the verdict that the C functions give.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ClerkClient, ClerkError } from 'clerk-auth';
import settings from '../lib/settings.js';
import { startSim } from './support/sim.mjs';

const cases = readFileSync(
  process.env.CLERK_CASES ?? new URL('../../../build/shared-cases.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const sim = await startSim();

const optionOf = new Map([...settings.SETTINGS].map(([option, name]) => [name, option]));

function optionsOf(given) {
  const options = { env: false };
  for (const [how, name, value] of given) {
    const option = optionOf.get(name);
    if (how === 'add') (options[option] ??= []).push(value);
    else options[option] = typeof value === 'string' ? value.replace('{api_url}', sim.url) : value;
  }
  return options;
}

/** As Node hands it over: one character for each byte. */
function requestOf({ method, headers }) {
  return { method, headers: headers.map(([name, value]) => [name, Buffer.from(value).toString('latin1')]) };
}

function verdictOf(auth) {
  const isIn = auth.status === 'signed-in';
  return {
    status: isIn ? 'signed_in' : 'signed_out',
    reason: auth.reason,
    user_id: auth.userId,
    session_id: auth.sessionId,
    org_id: auth.orgId,
    org_role: auth.orgRole,
    org_permissions: auth.orgPermissions,
  };
}

async function play(given) {
  await sim.admin('PUT', '/state', given.state);
  let clerk;
  try {
    clerk = new ClerkClient({ ...optionsOf(given.settings), clock: { nowMs: given.now_ms } });
  } catch (error) {
    assert.ok(error instanceof ClerkError, error);
    return { status: 'signed_out', refused: error.setting };
  }
  let nowMs = given.now_ms;
  for (const step of given.prelude) {
    if (step.request) await clerk.authenticate(requestOf(step.request));
    else if (step.state) await sim.admin('PUT', '/state', step.state);
    else clerk.setTime((nowMs += step.advance_ms));
  }
  const request = requestOf(given.request);
  const first = verdictOf(await clerk.authenticate(request));
  // Memory, where it answers, says the same.
  const again = clerk.authenticateCached(request);
  if (again !== undefined && first.status === 'signed_in') assert.deepEqual(verdictOf(again), first);
  await clerk.close();
  return first;
}

const categories = new Map();
for (const given of cases) {
  const category = categories.get(given.category) ?? [];
  category.push(given);
  categories.set(given.category, category);
}

for (const [category, all] of categories) {
  test(`${category}: ${all.length} cases`, async () => {
    for (const given of all) {
      const { verdict } = given;
      const expected = verdict.org_permissions
        ? { ...verdict, org_permissions: [...verdict.org_permissions].sort() }
        : verdict;
      const played = await play(given);
      played.org_permissions?.sort();
      assert.deepEqual(played, expected, given.id);
    }
  });
}

test('there are enough of them', () => {
  assert.ok(cases.length >= 200, `${cases.length} cases`);
  assert.ok(categories.size >= 18, `${categories.size} categories`);
});
