// The recorded cases have the same verdict as in the C library.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ClerkClient, ClerkError } from 'clerk-auth';
import { SETTINGS } from '../lib/enums.js';
import { startSim } from './support/sim.mjs';

const cases = readFileSync(
  process.env.CLERK_CASES ?? new URL('../../../build/shared-cases.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const sim = await startSim();

const optionOf = new Map([...SETTINGS].map(([option, name]) => [name, option]));

function toOptions(entries) {
  const options = { env: false };
  for (const [how, name, value] of entries) {
    const option = optionOf.get(name);
    if (how === 'add') (options[option] ??= []).push(value);
    else options[option] = typeof value === 'string' ? value.replace('{api_url}', sim.url) : value;
  }
  return options;
}

/** Header values as Node decodes them: one character for each byte. */
function toRequest({ method, headers }) {
  return { method, headers: headers.map(([name, value]) => [name, Buffer.from(value).toString('latin1')]) };
}

function toVerdict(auth) {
  const isSignedIn = auth.status === 'signed-in';
  return {
    status: isSignedIn ? 'signed_in' : 'signed_out',
    reason: auth.reason,
    user_id: auth.userId,
    session_id: auth.sessionId,
    org_id: auth.orgId,
    org_role: auth.orgRole,
    org_permissions: auth.orgPermissions,
  };
}

async function run(recorded) {
  await sim.admin('PUT', '/state', recorded.state);
  let clerk;
  try {
    clerk = new ClerkClient({ ...toOptions(recorded.settings), clock: { nowMs: recorded.now_ms } });
  } catch (error) {
    assert.ok(error instanceof ClerkError, error);
    return { status: 'signed_out', refused: error.setting };
  }
  let nowMs = recorded.now_ms;
  for (const step of recorded.prelude) {
    if (step.request) await clerk.authenticate(toRequest(step.request));
    else if (step.state) await sim.admin('PUT', '/state', step.state);
    else clerk.setTime((nowMs += step.advance_ms));
  }
  const request = toRequest(recorded.request);
  const first = toVerdict(await clerk.authenticate(request));
  // A cached result has the same verdict.
  const again = clerk.authenticateCached(request);
  if (again !== undefined && first.status === 'signed_in') assert.deepEqual(toVerdict(again), first);
  await clerk.close();
  return first;
}

const categories = new Map();
for (const recorded of cases) {
  const category = categories.get(recorded.category) ?? [];
  category.push(recorded);
  categories.set(recorded.category, category);
}

for (const [category, all] of categories) {
  test(`corpus: ${category}, ${all.length} cases`, async () => {
    for (const recorded of all) {
      const { verdict } = recorded;
      const expected = verdict.org_permissions
        ? { ...verdict, org_permissions: [...verdict.org_permissions].sort() }
        : verdict;
      const actual = await run(recorded);
      actual.org_permissions?.sort();
      assert.deepEqual(actual, expected, recorded.id);
    }
  });
}

test('corpus has at least 200 cases in 18 categories', () => {
  assert.ok(cases.length >= 200, `${cases.length} cases`);
  assert.ok(categories.size >= 18, `${categories.size} categories`);
});
