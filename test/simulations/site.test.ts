import { expect, test } from 'vitest';
import { Random } from '../../agent/base/random.ts';
import { parseSite } from '../../agent/config/site-file.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';
import { simulateCommand } from '../../simulations/campaign/command.ts';
import { simulateSite } from '../../simulations/campaign/site.ts';
import { drawPlantFaults, plantRates } from '../../simulations/campaign/site-faults.ts';
import { healthyValue } from '../../simulations/campaign/surroundings.ts';
import { leadMs, TimeLapse, tailMs } from '../../simulations/campaign/time-lapse.ts';
import type { FaultEvent } from '../../simulations/faults/fault.ts';
import { settleMs } from '../../simulations/scenarios/scenario.ts';

const text = `millwright: 1
site: mill
people:
  anna: { may: [acknowledge] }
cells:
  hall: { pace: lan }
agents:
  a: { cell: hall }
  b: { cell: hall }
  c: { cell: hall }
assets:
  pump:
    cell: hall
    connect: { modbus: { host: 127.0.0.1 } }
    signals:
      pressure: { address: holding:40001, unit: bar, every: 1s, fresh: 6s }
    checks:
      pressure: { signal: pressure, warn: below 2 bar, crit: below 1 bar }
      heard: { stale: pressure, every: 1s, raise: 3s }
    alarms:
      silent:
        when: crit("heard")
        priority: high
        cause: nothing is heard of the pump
        consequence: nobody sees its pressure
        response: Look at the cable of the pump
        respond-within: 15m
`;

const plan = (): SitePlan => {
  const { site, problems } = parseSite(text, 'mill.yaml');
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return site!.plan;
};
const hour = 3_600_000;

test('time lapse: faults far apart → windows around each, in order; the calendar and the run map to each other', () => {
  const faults: FaultEvent[] = [
    { kind: 'crash', atMs: 5 * hour, agent: 0, closes: true },
    { kind: 'restart', atMs: 5 * hour + 60_000, agent: 0 },
    { kind: 'pause', atMs: 100 * hour, agent: 1, ms: 9_000 },
  ];
  const lapse = new TimeLapse(faults, 720 * hour, settleMs, false);
  expect(lapse.windows.length).toBe(3);
  expect(lapse.windows[1]).toMatchObject({ fromMs: 5 * hour - leadMs, toMs: 5 * hour + 60_000 + tailMs });
  expect(lapse.windows[2]!.toMs).toBe(100 * hour + 9_000 + tailMs);
  expect(lapse.runMs).toBeLessThan(hour);
  for (const { atMs } of faults) expect(lapse.calendarOf(lapse.runOf(atMs))).toBe(atMs);
  // Within a window time passes as it does: the gap between a crash and its restart is what it was.
  expect(lapse.faults[1]!.atMs - lapse.faults[0]!.atMs).toBe(60_000);
  expect(lapse.nameOf(lapse.runOf(100 * hour))).toBe('day 5, 04:00');
  expect(new TimeLapse(faults, 720 * hour, settleMs, true).runMs).toBe(720 * hour);
});

test('plant faults: thirty days of many seeds → about as many as the table says', () => {
  const site = plan();
  let reboots = 0;
  let lost = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const faults = drawPlantFaults(new Random(seed), site, 30);
    expect(faults.map(({ atMs }) => atMs)).toEqual(faults.map(({ atMs }) => atMs).toSorted((a, b) => a - b));
    reboots += faults.filter((fault) => fault.kind === 'crash').length;
    lost += faults.filter((fault) => fault.kind === 'source').length;
  }
  const times = (what: string) => plantRates.find((rate) => rate.what === what)!.times;
  const expected =
    3 * (times('a box reboots') + times('a box loses power') + times('an agent is killed (memory, update)'));
  expect(reboots / 200).toBeGreaterThan(0.85 * expected);
  expect(reboots / 200).toBeLessThan(1.15 * expected);
  expect(lost / 200).toBeGreaterThan(1.6);
  expect(lost / 200).toBeLessThan(2.4);
});

test('healthy value: it is clear of every limit of the site file', () => {
  const site = plan();
  expect(healthyValue(site, site.signals[0]!)).toBeGreaterThan(2);
});

test('site: a machine out of reach for longer than it may be → the alarm of the site file, once, and whom it calls', () => {
  const site = plan();
  // The first seed whose few days hold a lost machine and the death of a box.
  const days = 6;
  const seed = Array.from({ length: 200 }, (_, n) => n + 1).find((n) => {
    const faults = drawPlantFaults(new Random(n, `site ${site.hash}`).fork('faults'), site, days);
    const lost = faults.filter((fault) => fault.kind === 'source');
    return (
      lost.length === 1 &&
      lost[0]!.ms > 30_000 &&
      faults.filter(({ kind }) => kind === 'crash').length === 1 &&
      faults.length < 5
    );
  })!;
  const question = { file: 'mill.yaml', plan: site, people: ['anna'], days, seed, inFull: false };
  const { report } = simulateSite(question);
  expect(report.violations).toEqual([]);
  expect(report.alarms).toMatchObject([
    { alarm: 'silent.pump', priority: 'high', times: 1, calls: ['anna'], stoodAlready: false },
  ]);
  expect(report.detection.count).toBe(1);
  expect(report.detection.p50Ms).toBeLessThan(3_000);
  expect(report.duties.map(({ duty }) => duty)).toContain('pump/poll');
  expect(report.played).toMatchObject({ ofHours: 24 * days, restless: 0 });
  expect(report.played.hours).toBeLessThan(3);
});

test('simulate --site: JSON with what an owner reads; wrong words are named', async () => {
  const edge = (out: string[]) => ({
    out: (more: string) => void out.push(more),
    err: (more: string) => void out.push(more),
    cpuMs: () => 0,
  });
  const said: string[] = [];
  const site = { file: 'mill.yaml', plan: plan(), people: ['anna'] };
  expect(await simulateCommand({ days: 0.5, json: true, checkDeterminism: true }, edge(said), site)).toBe(0);
  const report = JSON.parse(said.at(-1)!);
  expect(report).toMatchObject({
    scenario: 'site',
    site: 'mill',
    days: 0.5,
    agents: 3,
    violations: [],
    deterministic: true,
  });
  const wrong: string[] = [];
  expect(await simulateCommand({ days: -1, scenario: 'crash', agents: 5 }, edge(wrong), site)).toBe(2);
  for (const word of ['--days -1', '--scenario', '--agents']) expect(wrong.join('')).toContain(word);
});
