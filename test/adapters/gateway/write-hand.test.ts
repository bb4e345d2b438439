import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { createActionPort } from '../../../agent/adapters/actions.ts';
import { createPollRunner } from '../../../agent/adapters/duty-runners/poll.ts';
import { openGateway } from '../../../agent/adapters/gateway/gateway.ts';
import { createWriteHand } from '../../../agent/adapters/gateway/write-hand.ts';
import { Random } from '../../../agent/base/random.ts';
import { type Instant, instant, wallTime } from '../../../agent/base/time.ts';
import { parseSite } from '../../../agent/config/site-file.ts';
import type { ActionRequest } from '../../../agent/driver/ports.ts';
import { openModbusFace } from '../../../simulations/plant/modbus-face.ts';
import type { ModbusRegister } from '../../../simulations/plant/register-map.ts';
import { TokenLadder } from '../../../simulations/plant/token-ladder.ts';
import { eventually } from '../../support/eventually.ts';
import { Inbox, silent, temporaryFolder } from '../duty-runners/doubles.ts';
import { type Right, rightOf } from './rights.ts';

const siteFile = (port: number): string => `
millwright: 1
site: plant
cells:
  line-3: { voters: [box-1] }
agents:
  box-1: { cell: line-3 }
  box-2: { cell: line-3 }
assets:
  conveyor:
    cell: line-3
    connect: { modbus: { host: 127.0.0.1, port: ${port}, clients: 1 } }
    signals:
      mode: { address: holding:40010, type: uint16, every: 50ms }
    writes:
      mode: { address: holding:40010, type: uint16, allow: [0..3] }
      lamp: { address: coil:1, allow: [true] }
      recipe: { address: holding:40101, mark: holding:40121, type: uint16, allow: [1..9] }
    checks:
      mode: { signal: mode, crit: below 1 }
    workflows:
      wake:
        when: crit("mode")
        budget: 3 per 1d
        verify: ok("mode")
        steps:
          - { plc.write: { mode: 2 } }
          - { plc.write: { lamp: true } }
          - { plc.write: { recipe: 7 } }
`;

const undo: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const register = (name: string, table: ModbusRegister['table'], offset: number): ModbusRegister => ({
  name,
  table,
  address: '',
  offset,
  type: table === 'coil' ? 'bool' : 'uint16',
  unit: undefined,
  about: '',
});

/** An agent's hands over a site file, polling a real server, as they are put together in the agent. */
async function hands(options: { floors?: string; polls?: boolean } = {}) {
  const done: number[] = [];
  const face = await openModbusFace({
    host: '127.0.0.1',
    port: 0,
    unit: 1,
    registers: [register('mode', 'holding', 9), register('lamp', 'coil', 0)],
    writable: ['mode', 'lamp'],
    ladder: { program: new TokenLadder((command) => done.push(...command)), at: 100, words: 7, shows: 120 },
  });
  undo.push(() => face.stop());
  const { site, problems } = parseSite(siteFile(face.port), 'site.yaml');
  expect(problems).toEqual([]);
  if (site === undefined) throw new Error('no site');
  const inbox = new Inbox();
  const folder = temporaryFolder();
  const gate = openGateway({ dir: options.floors ?? folder });
  onTestFinished(() => gate.close());
  const clock = { now: () => instant(performance.now()), wall: () => wallTime(Date.now()) };
  const lines: Record<string, unknown>[] = [];
  const effectLog = { append: (line: Readonly<Record<string, unknown>>) => void lines.push(line) };
  const common = { deliver: inbox.deliver, clock, log: silent, effectLog, agent: 'box-1', boot: 'b00t' };
  const pki = join(folder, 'pki');
  const poll = createPollRunner({ ...common, site, report: () => true, random: new Random(1), pki });
  undo.push(() => poll.stopAll());
  const duty = site.plan.duties.find(({ work }) => work.kind === 'poll');
  if (duty === undefined) throw new Error('no poll duty');
  expect(duty.exclusive).toBe(true);
  if (options.polls !== false) {
    poll.start(duty, 1, undefined);
    await eventually(() => inbox.of('sample-received').length > 0);
  }
  const lent = () => poll.lend(site.plan.things.findIndex(({ id }) => id === 'conveyor'));
  const port = createActionPort({
    ...common,
    site,
    processes: {
      restart: () => never,
      restarting: () => false,
      identity: async () => undefined,
      processOf: () => undefined,
    },
    notify: () => true,
    gate,
    write: createWriteHand({ site, gate, pki, elapsed: clock.now, lend: (source) => poll.lend(source) }),
  });
  undo.push(() => port.stop());
  let issue = 0;
  const act = async (step: number, right: (Right & { until?: Instant }) | undefined) => {
    const action = site.plan.workflows[0]?.steps[step]?.action;
    if (action === undefined) throw new Error('no step');
    const request: ActionRequest = {
      run: 'conveyor/wake#1',
      step,
      try: 1,
      issue: ++issue,
      action,
      timeoutMs: 3_000,
      notAfter: instant(performance.now() + 60_000),
      fence: right,
    };
    port.issue(request);
    await eventually(() => inbox.of('action-completed').some((one) => one.issue === issue));
    return inbox.of('action-completed').find((one) => one.issue === issue);
  };
  return { face, done, act, lines, lent, inbox };
}

const never = Promise.resolve({ ok: false as const, error: 'no processes here' });

test('plc.write steps of a site file → on the device, over the connection that it is polled by, each with its token', async () => {
  const { face, done, act, lines, lent, inbox } = await hands();
  expect(lent()?.kind).toBe('modbus');
  for (const step of [0, 1, 2]) expect(await act(step, rightOf(5))).toMatchObject({ outcome: 'ok' });
  expect([face.read('mode'), face.read('lamp'), done]).toEqual([2, 1, [7]]);
  // Tried again by the same name under the same right: carried out once.
  expect(await act(2, rightOf(5))).toMatchObject({ outcome: 'ok' });
  expect(done).toEqual([7]);
  await eventually(() => inbox.of('sample-received').at(-1)?.sample.value === 2);
  expect(inbox.of('source-lost')).toEqual([]);
  const writes = lines.filter(({ effect }) => effect === 'plc.write');
  expect(writes).toHaveLength(4);
  expect(writes.every(({ token }) => token === rightOf(5).token)).toBe(true);
});

test('without a right, under an old one, past its end → nothing reaches the device, and no effect is claimed', async () => {
  const { face, act, lines } = await hands();
  expect(await act(0, undefined)).toMatchObject({ outcome: 'failed', detail: 'there is no right to write under' });
  expect(await act(0, { ...rightOf(6, 'b'), until: instant(performance.now() - 1) })).toMatchObject({
    outcome: 'failed',
    detail: expect.stringContaining('right ended'),
  });
  expect(await act(0, rightOf(5))).toMatchObject({ outcome: 'failed', detail: expect.stringContaining('older') });
  expect(face.read('mode')).toBe(0);
  expect(lines.filter(({ effect }) => effect === 'plc.write')).toEqual([]);
});

test('a device that this agent does not poll → a connection of its own', async () => {
  const { face, act, lent } = await hands({ polls: false });
  expect(lent()).toBeUndefined();
  expect(await act(0, rightOf(1))).toMatchObject({ outcome: 'ok' });
  expect(face.read('mode')).toBe(2);
});
