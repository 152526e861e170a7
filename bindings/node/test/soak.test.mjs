// Memory after many calls, measured in a child process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './support/run.mjs';
import { ADA, startSim } from './support/sim.mjs';

const sim = await startSim();

test('200000 calls do not leak memory', async () => {
  const webhookSecrets = 'whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE=';
  await sim.reset({ webhook_secret: webhookSecrets });
  await sim.user('user_1', ADA);
  const tokens = await Promise.all(Array.from({ length: 10 }, () => sim.token({ user: 'user_1', exp_in: 600 })));
  const { body } = await sim.admin('POST', '/webhook', { type: 'user.updated', id: 'user_1' });
  const { code, output, ms } = await run('soak.mjs', JSON.stringify(sim.settings({ webhookSecrets })), body, ...tokens);
  assert.equal(code, 0);
  const { grown } = JSON.parse(output);
  console.log(`200000 calls in ${Math.round(ms)} ms, grown by ${Math.round(grown / 1024)} KiB`);
  assert.ok(grown < 4 << 20, `${output} in ${ms} ms`);
});
