import { afterEach, expect, test } from 'vitest';
import { createCheckPort } from '../../../agent/adapters/checks/check-port.ts';
import { createPollRunner } from '../../../agent/adapters/duty-runners/poll.ts';
import { Random } from '../../../agent/base/random.ts';
import { formatProblems } from '../../../agent/config/problem.ts';
import { parseSite } from '../../../agent/config/site-file.ts';
import type { Input } from '../../../agent/core/input.ts';
import { openS7Server } from '../../../simulations/plant/s7-server.ts';
import { eventually } from '../../support/eventually.ts';
import { clock } from '../plc/collector.ts';

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const log = { debug() {}, info() {}, warn() {}, error() {} };

test('from the site file to the controller: polled, asked over the same connection, and unknown once it is not polled', async () => {
  const plc = await openS7Server({ host: '127.0.0.1', port: 0, dataBlocks: { 1: 16 } });
  undo.push(() => plc.stop());
  plc.area('db', 1).writeFloatBE(40, 0);
  const { site, problems } = parseSite(
    `millwright: 1
site: plant
agents: { box-1: {} }
assets:
  oven:
    connect: { s7: { host: 127.0.0.1, port: ${plc.port} } }
    signals: { heat: { address: "DB1,REAL0", unit: °C, every: 100ms } }
    checks: { runs: { plc: mode }, quick: { plc: scan, warn: above 50 ms } }
`,
    'site.yaml',
  );
  if (site === undefined) throw new Error(formatProblems(problems));
  const inputs: Input[] = [];
  const deliver = (input: Input) => void inputs.push(input);
  const poll = createPollRunner({
    site,
    deliver,
    report: () => true,
    clock,
    random: new Random(3),
    pki: '/nowhere',
    log,
    effectLog: { append: () => {} },
    agent: 'box-1',
    boot: 'b',
  });
  undo.push(() => poll.stopAll());
  const checks = createCheckPort({ site, deliver, processOf: () => undefined, ask: poll.ask, log });
  undo.push(() => checks.stop());
  const duty = site.plan.duties.find(({ id }) => id === 'oven/poll')!;
  poll.start(duty, 1, undefined);
  await eventually(() => inputs.some((input) => input.kind === 'sample-received' && input.sample.value === 40), {
    what: 'a sample',
  });

  const ask = async (id: string) => {
    inputs.length = 0;
    checks.run(site.plan.checks.findIndex((check) => check.id === id));
    const answer = await eventually(() => inputs.find((input) => input.kind === 'check-observed'), {
      what: 'an answer',
    });
    return answer.kind === 'check-observed' ? answer.observation : undefined;
  };
  expect(await ask('oven/runs')).toMatchObject({ status: 'ok', text: 'RUN' });
  plc.mode = 'stop';
  expect(await ask('oven/runs')).toMatchObject({ status: 'crit', text: 'STOP' });
  plc.scan = { last: 61, least: 3, most: 70 };
  expect(await ask('oven/quick')).toMatchObject({ status: undefined, value: 61 });
  expect(plc.clients).toBe(1);
  await poll.stop(duty.index);
  expect(await ask('oven/runs')).toMatchObject({ status: 'unknown', text: 'this device is not polled here' });
});
