import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import { type CommandEdge, type SimulateOptions, simulateCommand } from '../../simulations/campaign/command.ts';
import { catalogue, type Job, type Outcome, runJob } from '../../simulations/campaign/job.ts';
import { runPool } from '../../simulations/campaign/pool.ts';
import { Progress } from '../../simulations/campaign/progress.ts';
import { checkRecording, loadRecording, type Recording } from '../../simulations/campaign/record.ts';
import { ddmin, shrink } from '../../simulations/campaign/shrink.ts';
import { Tally } from '../../simulations/campaign/tally.ts';
import { episodes, type FaultEvent } from '../../simulations/faults/fault.ts';
import { optionsOf, playScenario, runScenario } from '../../simulations/run.ts';
import { swarm } from '../../simulations/scenarios/swarm.ts';
import type { Core } from '../../simulations/world/world.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millwright-simulate-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A core that never hears of refutations: whoever was cut off once stays dead for it. */
const deafToRefutation = (options: AgentCoreOptions): Core => {
  const core = new AgentCore(options);
  return {
    membership: core.membership,
    duties: core.duties,
    remediation: core.remediation,
    deadline: () => core.deadline(),
    step: (now, input) =>
      core
        .step(now, input)
        .filter(
          (effect) =>
            !(
              effect.kind === 'send' &&
              'updates' in effect.message &&
              effect.message.updates.some((update) => update.state === 'alive' && update.incarnation > 0)
            ),
        ),
  };
};

test('ddmin: whatever few parts are to blame → just these are left, in few questions', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.uniqueArray(fc.nat(59), { minLength: 1, maxLength: 4 }),
      (size, to) => {
        const blame = to.map((n) => n % size);
        let kept: readonly number[] = Array.from({ length: size }, (_, n) => n);
        let asked = 0;
        ddmin(kept, (fewer) => {
          asked++;
          if (!blame.every((part) => fewer.includes(part))) return false;
          kept = fewer;
          return true;
        });
        expect([...kept].sort((a, b) => a - b)).toEqual([...new Set(blame)].sort((a, b) => a - b));
        expect(asked).toBeLessThan(8 * size + 40);
      },
    ),
  );
});

test('ddmin: no part is to blame → the empty list, in one question', () => {
  const asked: (readonly number[])[] = [];
  expect(ddmin([1, 2, 3], (kept) => asked.push(kept) > 0)).toBe(true);
  expect(asked).toEqual([[]]);
});

test('episodes: a cut stays with its healing, changes of the network stay together, all else stands alone', () => {
  const cut = { kind: 'cut', atMs: 1, left: [0], right: [1] } as const;
  const other = { kind: 'cut', atMs: 2, left: [0], right: [2] } as const;
  const loss = { kind: 'network', atMs: 3, change: { loss: 0.1 } } as const;
  const crash = { kind: 'crash', atMs: 4, agent: 2, closes: true } as const;
  const heal = { kind: 'heal', atMs: 5, left: [0], right: [1] } as const;
  const calm = { kind: 'network', atMs: 6, change: { loss: 0 } } as const;
  const healed = { kind: 'heal', atMs: 7, left: [0], right: [2] } as const;
  expect(episodes([cut, other, loss, crash, heal, calm, healed])).toEqual([
    [cut, heal],
    [other, healed],
    [loss, calm],
    [crash],
  ]);
});

test('shrink: a planted core and a swarm of faults → the one cut that shows it, with nothing around it; it replays', () => {
  const noise: FaultEvent[] = [
    { kind: 'pause', atMs: 13_000, agent: 1, ms: 300 },
    { kind: 'wall', atMs: 13_500, agent: 3, byMs: -60_000 },
    { kind: 'cut', atMs: 14_000, left: [0], right: [1, 2, 3, 4] },
    { kind: 'crash', atMs: 15_000, agent: 2, closes: true },
    { kind: 'restart', atMs: 16_000, agent: 2 },
    { kind: 'heal', atMs: 20_000, left: [0], right: [1, 2, 3, 4] },
    { kind: 'broker', atMs: 21_000, ms: 2_000 },
    { kind: 'pause', atMs: 22_000, agent: 4, ms: 200 },
  ];
  const run = { scenario: 'swarm', agents: 5, seed: 3, core: deafToRefutation };
  const options = { ...optionsOf(run), durationS: 60, faults: noise, repairs: 0 };
  const invariant = 'views converge';
  const before = playScenario({ ...run, options }).report.violations.map((violation) => violation.invariant);
  expect(before).toContain(invariant);

  const small = shrink({ ...run, options }, invariant);
  expect(small.isMinimal).toBe(true);
  expect(small.options.faults.map(({ kind }) => kind)).toEqual(['cut', 'heal']);
  expect(small.options.duties).toBe(1);
  expect(small.options.network).toMatchObject({ loss: 0, duplication: 0, reordering: 0, stalls: 0 });
  expect(small.agents).toBeLessThan(5);
  // It shows the mistake, and nothing but the mistake: the core as it ships passes the same run.
  const again = { scenario: 'swarm', seed: 3, agents: small.agents, options: small.options };
  expect(runScenario({ ...again, core: deafToRefutation }).violations.map((v) => v.invariant)).toContain(invariant);
  expect(runScenario(again).violations).toEqual([]);
});

test('simulate --save, --replay: the same options, faults and trace, without drawing anything', async () => {
  const file = join(folder, 'saved.json');
  const first = await command({ scenario: 'restart', agents: 4, seed: 5, duration: 60, save: file, json: true });
  expect(first.code).toBe(0);
  const again = await command({ replay: file, json: true });
  expect(again.code).toBe(0);
  const [one, two] = [JSON.parse(first.out), JSON.parse(again.out)];
  expect(two.traceHash).toBe(one.traceHash);
  expect(two.options).toEqual(one.options);
  expect(two.again).toBe(`millwright simulate --replay ${file}`);
});

test('a limit of the uplink that is lifted again, saved and played again → lifted there, too', async () => {
  const file = join(folder, 'lifted.json');
  const seed = 5;
  const first = await command({ scenario: 'swarm', agents: 3, seed, save: file, json: true });
  const again = await command({ replay: file, json: true });
  const [one, two] = [JSON.parse(first.out), JSON.parse(again.out)];
  const saved = loadRecording(file);
  const changes = saved.ok
    ? saved.value.options.faults.flatMap((fault) => (fault.kind === 'network' ? [fault.change] : []))
    : [];
  const limits = changes.map((change) => ('uplink' in change ? change.uplink !== undefined : undefined));
  expect(limits.lastIndexOf(false), 'this seed lifts a limit; else choose another').toBeGreaterThan(
    limits.indexOf(true),
  );
  expect(limits).toContain(true);
  expect(two.traceHash).toBe(one.traceHash);
});

test('recording: whatever is wrong with the file → a word about it, never an exception', () => {
  const good = JSON.parse(JSON.stringify(recorded())) as Recording;
  expect(checkRecording(good, 'x.json').ok).toBe(true);
  const wrong: readonly [unknown, string][] = [
    [null, 'no recording'],
    [{ ...good, format: 'something' }, 'no recording'],
    [{ ...good, version: 2 }, 'version 2'],
    [{ ...good, scenario: 'flood' }, 'no scenario'],
    [{ ...good, agents: 1 }, 'agents 1'],
    [{ ...good, agents: 4 }, 'options of 5 agents'],
    [{ ...good, options: { ...good.options, durationS: -1 } }, 'duration'],
    [{ ...good, options: { ...good.options, faults: [{ kind: 'crash', atMs: 5, agent: 99 }] } }, 'fault 0: boxes 99'],
    [{ ...good, options: { ...good.options, faults: [{ kind: 'crash', atMs: -5, agent: 0 }] } }, 'fault 0: at -5'],
    [{ ...good, options: { ...good.options, faults: [{ kind: 'flood', atMs: 5 }] } }, 'fault 0: no fault "flood"'],
  ];
  for (const [value, text] of wrong) {
    const checked = checkRecording(value, 'x.json');
    expect(checked.ok ? 'accepted' : checked.error).toContain(text);
  }
  const garbage = join(folder, 'garbage.json');
  writeFileSync(garbage, '{"format": ');
  expect(loadRecording(garbage).ok).toBe(false);
  const missing = loadRecording(join(folder, 'missing.json'));
  expect(missing.ok ? '' : missing.error).toContain('there is no such file');
});

// What broke once, and was mended, is played for ever.
const regressions = fileURLToPath(new URL('../../simulations/regressions/', import.meta.url));
test.each(readdirSync(regressions).filter((file) => file.endsWith('.json')))(
  'regression %s → every invariant holds',
  (file) => {
    const recording = loadRecording(join(regressions, file));
    expect(recording.ok ? '' : recording.error).toBe('');
    if (!recording.ok) return;
    expect(recording.value.note ?? '', 'a regression says what it is about').not.toBe('');
    expect(
      runScenario(recording.value).violations,
      `millwright simulate --replay simulations/regressions/${file}`,
    ).toEqual([]);
  },
);

test('pool: seeds over two processes → each gives what it gives alone, and the tally does not mind the order', async () => {
  const jobs = [1, 2, 3, 4].map((seed): Job => ({ scenario: 'crash', agents: 4, seed, durationS: 40 }));
  const found: Outcome[] = [];
  await runPool(jobs, { jobs: 2, done: (outcome) => void found.push(outcome) });
  const alone = jobs.map((job) => runJob(job, () => 0));
  const bare = (outcomes: readonly Outcome[]) =>
    outcomes.toSorted((a, b) => a.seed - b.seed).map((outcome) => ({ ...outcome, cpuMs: 0 }));
  expect(bare(found)).toEqual(bare(alone));
  const reportOf = (outcomes: readonly Outcome[]) => {
    const tally = new Tally();
    for (const outcome of outcomes) tally.add({ ...outcome, cpuMs: 1_000 });
    return tally.report({ scenario: 'crash', from: 1, to: 4, endedEarly: false, reaches: ['duty taken over', 'snow'] });
  };
  const report = reportOf(alone);
  expect(reportOf(alone.toReversed())).toEqual(report);
  expect(report.seeds).toEqual({ from: 1, to: 4, run: 4, failed: [] });
  expect(report.detection.count).toBe(alone.reduce((sum, { samples }) => sum + samples.detection.length, 0));
  expect(report.neverReached).toContain('snow');
  expect(report.traceHash).toMatch(/^[0-9a-f]{16}$/);
});

test('pool: a job that cannot run → a violation of that job; the others go on', async () => {
  const jobs: Job[] = [
    { scenario: 'no such scenario', agents: 4, seed: 1 },
    { scenario: 'crash', agents: 3, seed: 2, durationS: 30 },
  ];
  const found: Outcome[] = [];
  await runPool(jobs, { jobs: 1, done: (outcome) => void found.push(outcome) });
  expect(found.map(({ seed, violations }) => [seed, violations[0]?.invariant])).toEqual([
    [1, 'a run ends'],
    [2, undefined],
  ]);
});

test('simulate --seeds, Ctrl-C after the first → says what was done, exit code 130', async () => {
  let interrupt: () => void = () => {};
  const { code, out, err } = await command(
    { scenario: 'crash', agents: 3, seeds: '1..500', duration: 30, jobs: 1, json: true },
    {
      onInterrupt: (act) => {
        interrupt = act;
        return () => {};
      },
      wallMs: () => {
        // The clock is read at each outcome: the second reading belongs to the first of them.
        if (ticks++ === 1) interrupt();
        return ticks;
      },
    },
  );
  expect(code).toBe(130);
  const report = JSON.parse(out);
  expect(report.endedEarly).toBe(true);
  expect(report.seeds.run).toBeGreaterThan(0);
  expect(report.seeds.run).toBeLessThan(500);
  expect(err).toMatch(/\d+ of 500 seeds, ended by Ctrl-C/);
});
let ticks = 0;

test('simulate --seeds --json: pooled figures, with the fields of one seed; --loss is what is lost', async () => {
  const { code, out } = await command({
    scenario: 'crash',
    agents: 5,
    seeds: '1..6',
    duration: 40,
    loss: '5%',
    json: true,
  });
  expect(code).toBe(0);
  const report = JSON.parse(out);
  for (const field of [
    'scenario',
    'agents',
    'seeds',
    'violations',
    'detection',
    'firstDetection',
    'falseDeaths',
    'bytesPerSecondPerAgent',
    'messagesPerSecondPerAgent',
    'takeover',
    'eventsPerCpuSecond',
    'agentSecondsPerCpuSecond',
    'traceHash',
  ])
    expect(report).toHaveProperty(field);
  expect(report.detection.p50Ms).toBeGreaterThan(0);
  expect(report.sometimes['message lost']).toBeGreaterThan(500);
  expect(report.again).toBe('millwright simulate --scenario crash --agents 5 --seeds 1..6 --loss 0.05 --duration 40');
});

test('simulate --scenario leases: same fields; each story of leases by its name', async () => {
  const { code, out } = await command({ scenario: 'leases', seeds: '1..4', json: true, checkDeterminism: true });
  expect(code).toBe(0);
  const report = JSON.parse(out);
  expect(report).toMatchObject({ scenario: 'leases', violations: [], deterministic: true });
  expect(report.takeover.count).toBe(4);
  expect(report.eventsPerCpuSecond).toBeGreaterThan(0);
  const stories = catalogue().filter(({ name }) => name.startsWith('lease/'));
  expect(stories.length).toBeGreaterThan(20);
  const one = await command({ scenario: 'lease/two-rival-successors', json: true });
  expect(one.code).toBe(0);
  expect(JSON.parse(one.out)).toMatchObject({ scenario: 'lease/two-rival-successors', violations: [] });
});

test('simulate --log: one JSON object per line, in order, with faults, deaths and duties', async () => {
  const log = join(folder, 'log.jsonl');
  await command({ scenario: 'crash', agents: 4, seed: 2, duration: 40, log });
  const lines = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.length).toBeGreaterThan(20);
  for (const event of ['member-alive', 'member-dead', 'duty-started', 'fault'])
    expect(
      lines.some((line) => line.event === event),
      event,
    ).toBe(true);
  expect(lines.map(({ atMs }) => atMs)).toEqual(lines.map(({ atMs }) => atMs).toSorted((a, b) => a - b));
});

test('simulate: a story of three told with two boxes → refused; it needs the third', async () => {
  const { code, err } = await command({ scenario: 'both-reach-c', agents: 2 });
  expect(code).toBe(2);
  expect(err).toBe('--agents 2: expected 3 to 5000\n');
});

test('simulate: wrong words about seeds, loss, jobs and files → each is named, with the nearest name', async () => {
  const { code, err } = await command({
    scenario: 'swarn',
    seeds: '9..1',
    loss: '120%',
    jobs: 0,
    replay: join(folder, 'missing.json'),
  });
  expect(code).toBe(2);
  for (const text of ['did you mean swarm', '--seeds 9..1', '--loss 120%', '--jobs 0', 'there is no such file'])
    expect(err).toContain(text);
});

test('simulate --transport: what carries messages is part of the run and of the words that play it again', async () => {
  const asked = { scenario: 'crash', agents: 3, duration: 40, transport: 'tcp', datagrams: false, json: true };
  const { code, out } = await command(asked);
  expect(code).toBe(0);
  const report = JSON.parse(out) as { options: { network: object }; again: string };
  expect(report.options.network).toMatchObject({ transport: 'tcp', datagrams: false });
  expect(report.again).toContain(' --transport tcp --no-datagrams');
  expect((await command({ scenario: 'crash', transport: 'tpc' })).err).toContain('did you mean tcp?');
  expect((await command({ scenario: 'crash', datagrams: false })).err).toContain('--no-datagrams: only with');
});

test('swarm: thirty seeds → every kind of fault is drawn, some kinds are off in each, all is healed at the end', () => {
  const kinds = new Set<string>();
  for (let seed = 1; seed <= 30; seed++) {
    const { faults, agents } = optionsOf({ scenario: 'swarm', agents: 6, seed });
    const drawn = new Set(faults.map(({ kind }) => kind));
    expect(drawn.size).toBeLessThan(16);
    for (const kind of drawn) kinds.add(kind);
    const cuts = faults.filter(({ kind }) => kind === 'cut').length;
    for (let agent = 0; agent < agents; agent++) {
      const last = faults.findLast(
        (fault) => (fault.kind === 'crash' || fault.kind === 'restart') && fault.agent === agent,
      );
      expect(last?.kind ?? 'restart').toBe('restart');
    }
    const joined = episodes(faults).filter(
      ([first, ...rest]) => first!.kind === 'cut' && rest.some((f) => f.kind === 'heal'),
    );
    expect(joined.length).toBeLessThanOrEqual(cuts);
    expect(episodes(faults).every(([first, ...rest]) => first!.kind !== 'cut' || rest.at(-1)?.kind === 'heal')).toBe(
      true,
    );
  }
  const all = [
    'crash',
    'restart',
    'pause',
    'suspend',
    'slow',
    'drift',
    'wall',
    'clone',
    'disk',
    'broker',
    'plc',
    'cut',
  ];
  for (const kind of [...all, 'heal', 'flap', 'network', 'break', 'stop']) expect([...kinds]).toContain(kind);
  expect(swarm.reaches?.length).toBeGreaterThan(10);
});

test('progress: a terminal sees a bar in place, a log sees a line now and then', () => {
  const told = (isTerminal: boolean): string => {
    let [text, now] = ['', 0];
    const progress = new Progress({
      err: (more) => {
        text += more;
      },
      isTerminal,
      wallMs: () => (now += 1_000),
    });
    for (let n = 1; n <= 12; n++) progress.at(n / 12, `${n}/12 seeds`);
    progress.end('12 of 12 seeds');
    return text;
  };
  expect(told(true)).toContain('\r[████████████············] 6/12 seeds, 6 s left');
  expect(told(false).trim().split('\n').length).toBeLessThan(5);
  expect(told(false)).toContain('12 of 12 seeds\n');
});

const recorded = (): Recording => {
  const options = optionsOf({ scenario: 'restart', agents: 5, seed: 1 });
  return { format: 'millwright-simulation', version: 1, scenario: 'restart', agents: 5, seed: 1, options };
};

async function command(
  options: SimulateOptions,
  edge: Partial<CommandEdge> = {},
): Promise<{ code: number; out: string; err: string }> {
  let [out, err, cpu] = ['', '', 0];
  const code = await simulateCommand(options, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    cpuMs: () => (cpu += 500),
    ...edge,
  });
  return { code, out, err };
}
