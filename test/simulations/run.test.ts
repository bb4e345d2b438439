import { expect, test } from 'vitest';
import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { Input } from '../../agent/core/input.ts';
import { type SimulateOptions, simulateCommand } from '../../simulations/campaign/command.ts';
import { catalogue } from '../../simulations/campaign/job.ts';
import { runScenario } from '../../simulations/run.ts';
import { scenarios } from '../../simulations/scenarios/list.ts';
import type { Core } from '../../simulations/world/world.ts';

const short = { scenario: 'crash', agents: 5, seed: 3, durationS: 35 };

/** The real core with something planted between it and its driver. */
function planted(plant: {
  input?: (input: Input, self: number, now: number) => Input | undefined;
  effect?: (effect: Effect, self: number) => Effect | undefined;
}): (options: AgentCoreOptions) => Core {
  return (options) => {
    const core = new AgentCore(options);
    const { self } = options.identity;
    let began: number | undefined;
    return {
      membership: core.membership,
      duties: core.duties,
      remediation: core.remediation,
      deadline: () => core.deadline(),
      step: (now, input) => {
        began ??= now;
        const seen = plant.input ? plant.input(input, self, now - began) : input;
        const effects = seen ? core.step(now, seen) : [];
        if (!plant.effect) return effects;
        return effects.flatMap((effect) => plant.effect!(effect, self) ?? []);
      },
    };
  };
}

test('simulate: the same seed twice → the same trace; another seed, option or core → another', () => {
  const { traceHash, traced } = runScenario(short);
  expect(traced).toBeGreaterThan(5_000);
  expect(runScenario(short).traceHash).toBe(traceHash);
  expect(runScenario({ ...short, seed: 4 }).traceHash).not.toBe(traceHash);
  expect(runScenario({ ...short, override: { membership: { directWindowMs: 91 } } }).traceHash).not.toBe(traceHash);
  // One agent once says a different digest version: nothing else in the run changes, and still the hash does.
  let changed = false;
  const oneNumber = planted({
    effect: (effect, self) => {
      if (changed || self !== 2 || effect.kind !== 'send' || effect.message.kind !== 'ack') return effect;
      changed = true;
      return { ...effect, message: { ...effect.message, digestVersion: effect.message.digestVersion + 1 } };
    },
  });
  const other = runScenario({ ...short, core: oneNumber });
  expect(changed).toBe(true);
  expect(other.traced).toBe(traced);
  expect(other.traceHash).not.toBe(traceHash);
});

// What takes an hour of virtual time is told shorter here, and at length by the soak.
const told = new Map<string, { readonly seeds: number; readonly durationS?: number }>([
  ['swarm', { seeds: 4 }],
  ['hour-apart', { seeds: 1, durationS: 120 }],
  ['suspended-for-an-hour', { seeds: 1, durationS: 150 }],
  ['clock-freeze', { seeds: 1 }],
  ['half-vanishes', { seeds: 1 }],
  ['reboot-storm', { seeds: 1 }],
  ['rolling-upgrade', { seeds: 1 }],
  ['permit-holder-dies', { seeds: 1, durationS: 120 }],
  ['frozen-between-check-and-write', { seeds: 1, durationS: 90 }],
]);

test.each(scenarios.map(({ name }) => name))(
  'simulate: scenario %s, a few seeds on seven agents → every invariant holds',
  (scenario) => {
    const { seeds, durationS } = told.get(scenario) ?? { seeds: 2 };
    for (let seed = 101; seed < 101 + seeds; seed++) {
      const { violations } = runScenario({ scenario, agents: 7, seed, durationS });
      expect(violations, `millwright simulate --scenario ${scenario} --agents 7 --seed ${seed}`).toEqual([]);
    }
  },
);

test('simulate: a silent crash among five → known to all within 2 s and taken over within 3 s, in most of 10 seeds', () => {
  const detection: number[] = [];
  const takeover: number[] = [];
  for (let seed = 1; seed <= 10; seed++) {
    const report = runScenario({
      ...short,
      seed,
      override: { faults: [{ kind: 'crash', atMs: 14_000 + 37 * seed, agent: seed % 5, closes: false }] },
    });
    expect(report.violations).toEqual([]);
    if (report.detection.p50Ms !== null) detection.push(report.detection.p50Ms);
    if (report.takeover.maxMs !== null) takeover.push(report.takeover.maxMs);
  }
  detection.sort((a, b) => a - b);
  takeover.sort((a, b) => a - b);
  expect(detection.length).toBe(10);
  expect(detection[5]).toBeLessThan(2_000);
  expect(takeover.length).toBeGreaterThan(5);
  expect(takeover.at(-1)).toBeLessThan(3_000);
});

// Each promise is broken once on purpose: an invariant that cannot fail proves nothing.
test.each([
  [
    'a crash is known to all in time',
    // Box 0 never gets to judge, and nobody's word reaches it.
    planted({
      input: (input, self, age) =>
        self === 0 && age > 5_000 && (input.kind === 'ticked' || input.kind === 'peer-disconnected' || isGossip(input))
          ? undefined
          : input,
    }),
  ],
  [
    'no false death',
    // Box 4 is up, but its core sleeps.
    planted({ input: (input, self, age) => (self === 4 && age > 8_000 ? undefined : input) }),
  ],
  [
    'an available duty has a runner',
    planted({ effect: (effect) => (effect.kind === 'start-duty' && effect.duty === 2 ? undefined : effect) }),
  ],
  [
    'one runner in each component',
    // For a while in the middle nobody hears a claim; at the end one is left, and a look at the end alone is blind.
    planted({
      input: (input, _self, age) =>
        input.kind === 'message-received' && input.message.kind === 'claim' && age > 15_000 && age < 30_000
          ? undefined
          : input,
    }),
  ],
] as const)('simulate: planted fault → "%s" is found violated', (invariant, core) => {
  const { violations } = runScenario({
    ...short,
    durationS: 45,
    override: { faults: [{ kind: 'crash', atMs: 14_000, agent: 3, closes: false }], dutyFailure: 0 },
    core,
  });
  expect(violations.map((v) => v.invariant)).toContain(invariant);
});

test('simulate: one side of a cut begins nothing → found there, though the duty runs on the other side', () => {
  const parted = { left: [0, 1], right: [2, 3, 4] };
  const run = {
    scenario: 'partition',
    agents: 5,
    seed: 1,
    durationS: 150,
    override: {
      dutyFailure: 0,
      faults: [
        { kind: 'cut', atMs: 14_000, ...parted },
        { kind: 'heal', atMs: 104_000, ...parted },
      ],
    },
  } as const;
  expect(runScenario(run).violations).toEqual([]);
  const idle = new Map<number, boolean>();
  const { violations } = runScenario({
    ...run,
    core: planted({
      input: (input, self, age) => {
        idle.set(self, self < 2 && age > 13_000 && age < 104_000);
        return input;
      },
      effect: (effect, self) => (effect.kind === 'start-duty' && idle.get(self) ? undefined : effect),
    }),
  });
  expect(violations.map((v) => v.invariant)).toContain('an available duty has a runner in every part');
  expect(violations.map((v) => v.invariant)).not.toContain('an available duty has a runner');
});

test('simulate: a store that forgets incarnations → "incarnations never go back" is found violated', () => {
  let saved = 0;
  const parted = { left: [0], right: [1, 2, 3, 4] };
  const { violations } = runScenario({
    scenario: 'partition',
    agents: 5,
    seed: 1,
    override: {
      faults: [13, 23, 33, 43].map((s, i) => ({ kind: i % 2 === 0 ? 'cut' : 'heal', atMs: s * 1000, ...parted })),
    },
    core: planted({
      effect: (effect) => (effect.kind === 'save-incarnation' ? { ...effect, incarnation: 10 - saved++ } : effect),
    }),
  });
  expect(violations.map((v) => v.invariant)).toContain('incarnations never go back');
});

test('simulate: views that stay apart after healing → "views converge" is found violated', () => {
  const { violations } = runScenario({
    scenario: 'partition',
    agents: 5,
    seed: 1,
    // Nobody ever answers to its own death.
    core: planted({ effect: (effect) => (effect.kind === 'send' && refutes(effect) ? undefined : effect) }),
  });
  expect(violations.map((v) => v.invariant)).toContain('views converge');
});

test('simulate: comparisons find what gossip lost, and nobody tells it → "digests converge" is found violated', () => {
  const lossy = { scenario: 'loss', agents: 12, seed: 1, durationS: 60, loss: 0.05 };
  expect(runScenario(lossy).violations).toEqual([]);
  const core = planted({ effect: (effect) => (effect.kind === 'tell-digests' ? undefined : effect) });
  expect(runScenario({ ...lossy, core }).violations.map((v) => v.invariant)).toEqual(['digests converge']);
});

test('simulate: an intent that never becomes durable → "no effect without a durable intent" is found violated', () => {
  const core = planted({
    effect: (effect) =>
      effect.kind === 'persist'
        ? { ...effect, entries: effect.entries.filter((entry) => entry.kind !== 'intent') }
        : effect,
  });
  const { violations } = runScenario({ scenario: 'repair', agents: 4, seed: 2, core });
  expect(violations.map((v) => v.invariant)).toContain('no effect without a durable intent');
});

test('simulate: a time-out that spends no attempt → found by the story of machines that never act', () => {
  const run = { scenario: 'deaf-machines', agents: 2, seed: 1 };
  const report = runScenario(run);
  expect(report.violations).toEqual([]);
  expect(report.sometimes['repair given up after time-outs']).toBeGreaterThanOrEqual(2);
  const core = planted({
    input: (input) =>
      input.kind === 'action-completed' && input.outcome === 'timed-out' ? { ...input, outcome: 'refused' } : input,
  });
  const invariants = new Set(runScenario({ ...run, core }).violations.map((v) => v.invariant));
  expect(invariants).toContain('no step is attempted more often than declared');
  expect(invariants).toContain('a repair ends in the time of its steps');
});

test('simulate: people say STOP while repairs are under way → some runs are stopped, nothing is done after it', () => {
  let stopped = 0;
  for (let seed = 1; seed <= 6; seed++) {
    const report = runScenario({ scenario: 'repair', agents: 4, seed });
    expect(report.violations).toEqual([]);
    stopped += report.stopped;
  }
  expect(stopped).toBeGreaterThanOrEqual(2);
});

test('simulate: a core that is told of no STOP → "no issue after STOP" is found violated', () => {
  // The entry reaches the disk, and the core acts as if nobody had said it.
  const stops = new Map<string, Extract<Input, { kind: 'stop-ordered' }>>();
  const core = planted({
    input: (input) => {
      if (input.kind !== 'stop-ordered') return input;
      stops.set(input.run, input);
      return undefined;
    },
    effect: (effect) => {
      if (effect.kind !== 'persist') return effect;
      const entries = effect.entries.flatMap((entry) => {
        const stop = entry.kind === 'heartbeat' ? undefined : stops.get(entry.run);
        if (stop === undefined) return [entry];
        const { v, run, boot, at, wall } = entry;
        return [{ v, run, boot, at, wall, kind: 'stop' as const, by: stop.by }, entry];
      });
      return { ...effect, entries };
    },
  });
  const invariants = new Set<string>();
  for (let seed = 1; seed <= 8; seed++) {
    for (const v of runScenario({ scenario: 'repair', agents: 4, seed, core }).violations) invariants.add(v.invariant);
  }
  expect([...invariants]).toContain('no issue after STOP');
  expect([...invariants]).toContain('fold(journal) is the live state');
});

test('simulate: a repair that does nothing and a check that says well → "healed means healthy" is found violated', () => {
  const repaired = new Set<number>();
  const core = planted({
    effect: (effect, self) => {
      if (effect.kind !== 'issue-action' || effect.action.kind !== 'command.run') return effect;
      if (effect.action.argv[1] === 'restart') repaired.add(self);
      return { ...effect, action: { kind: 'command.run', argv: ['fan', 'state'] } };
    },
    input: (input, self) =>
      input.kind === 'check-observed' && repaired.has(self)
        ? { ...input, observation: { ...input.observation, status: 'ok' } }
        : input,
  });
  const { violations, healed } = runScenario({ scenario: 'repair', agents: 4, seed: 2, core });
  expect(healed).toBeGreaterThan(0);
  expect(violations.map((v) => v.invariant)).toContain('healed means healthy');
  expect(violations.map((v) => v.invariant)).toContain('what broke is mended');
});

test('simulate: agents die in the middle of a repair → the runs are resumed and heal', () => {
  let healed = 0;
  for (let seed = 1; seed <= 3; seed++) healed += runScenario({ scenario: 'repair', agents: 4, seed }).healed;
  expect(healed).toBeGreaterThanOrEqual(6);
});

test('simulate --json: one line with all fields, progress on standard error, exit code 0', async () => {
  const { code, out, err } = await command({
    scenario: 'crash',
    agents: 5,
    seed: '1',
    duration: 40,
    json: true,
    checkDeterminism: true,
  });
  expect(code).toBe(0);
  expect(out.trim().split('\n').length).toBe(1);
  const report = JSON.parse(out);
  expect(report.seeds).toEqual({ from: 1, to: 1, run: 1, failed: [] });
  expect(report).toMatchObject({ scenario: 'crash', seed: 1, violations: [], falseDeaths: 0, deterministic: true });
  expect(report.detection.p50Ms).toBeGreaterThan(0);
  expect(report.detection.p99Ms).toBeGreaterThanOrEqual(report.detection.p50Ms);
  expect(report.bytesPerSecondPerAgent).toBeGreaterThan(0);
  expect(report.eventsPerCpuSecond).toBe(Math.round(report.events / 2));
  expect(report.traceHash).toMatch(/^[0-9a-f]{16}$/);
  expect(report.options.network.latencyMs).toBeGreaterThan(0);
  expect(err).toContain('events');
});

test('simulate without --json: the option table first, the command that plays it again last', async () => {
  const { out } = await command({ agents: 3, seed: 9, duration: 30 });
  const lines = out.trim().split('\n');
  expect(lines[0]).toBe('scenario crash, seed 9');
  expect(lines[2]).toMatch(/^ {2}agents +3$/);
  expect(lines.at(-1)).toBe('  millwright simulate --scenario crash --agents 3 --seed 9 --duration 30');
});

test('simulate: wrong words → all of them named at once, exit code 2, nothing runs', async () => {
  const { code, out, err } = await command({ scenario: 'flood', agents: 1, seed: 'x', duration: 2 });
  expect(code).toBe(2);
  expect(out).toBe('');
  for (const name of ['--scenario flood', '--agents 1', '--seed x', '--duration 2']) expect(err).toContain(name);
});

test('simulate --list: every scenario with a line about it', async () => {
  const { code, out } = await command({ list: true });
  expect(code).toBe(0);
  expect(
    out
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
  ).toEqual(catalogue().map(({ name }) => name));
});

const isGossip = (input: Input): boolean => input.kind === 'message-received' && input.from !== 0;

const refutes = (effect: Extract<Effect, { kind: 'send' }>): boolean =>
  'updates' in effect.message && effect.message.updates.some((u) => u.state === 'alive' && u.incarnation > 0);

async function command(options: SimulateOptions): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  let cpu = 0;
  const code = await simulateCommand(options, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    cpuMs: () => (cpu += 2_000) - 2_000,
  });
  return { code, out, err };
}
