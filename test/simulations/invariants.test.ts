import { describe, expect, it } from 'vitest';
import { bootId } from '../../agent/base/ids.ts';
import { Random } from '../../agent/base/random.ts';
import { instant, wallTime } from '../../agent/base/time.ts';
import { AgentCore } from '../../agent/core/agent-core.ts';
import { tokenHex } from '../../agent/core/leases/fencing-token.ts';
import type { JournalEntry } from '../../agent/core/remediation/journal-entry.ts';
import { numbersAgree, queuesBounded, RemediationKeepsItsWord } from '../../simulations/invariants/invariants.ts';
import { PermitsKeepTheirWord } from '../../simulations/invariants/permits.ts';
import { mutants } from '../../simulations/leases/mutants.ts';
import { runLeaseSeed } from '../../simulations/leases/run.ts';
import { membershipMutants } from '../../simulations/mutants/membership.ts';
import { PlantedCore } from '../../simulations/mutants/planted-core.ts';
import { playTwice, runScenario } from '../../simulations/run.ts';
import { calmNetwork } from '../../simulations/world/network.ts';
import { sitePlan } from '../../simulations/world/plan.ts';
import { type Box, type Work, World } from '../../simulations/world/world.ts';

const plan = sitePlan({ agents: 3, duties: 1, repairs: 3, permits: 1, exclusive: 0, voters: 3, random: new Random(1) });
const world = new World({ plan, seed: 1 });
const names = (found: readonly { readonly invariant: string }[]): string[] => found.map(({ invariant }) => invariant);

// What the simulator's cores and mutants do not break by themselves is broken here by hand: each rule can fail.
describe('invariants, each with what it must find', () => {
  const box = (index: number): Box => world.boxes[index]!;
  const work = (counter: number, more: Partial<Work> = {}): Work => ({
    run: 'box-0000/restart-fan#1',
    step: 1,
    try: 0,
    issue: counter,
    permit: 'cell-0/repairing',
    slot: 'guard:cell-0/repairing/slot-1',
    fence: { lease: 'guard', token: tokenHex({ epoch: 1, counter }), session: 'a' },
    untilMs: 0,
    ...more,
  });
  const permits = (isSound = true) => new PermitsKeepTheirWord({ plan, isSound: () => isSound, count: () => {} });

  it('permits: one after the other with tokens that rise → nothing', () => {
    const judge = permits();
    expect(judge.begun(world, box(0), work(1))).toEqual([]);
    expect(judge.begun(world, box(1), work(2, { run: 'box-0001/restart-fan#1' }))).toEqual([]);
  });

  it('permits: an older token, the same one of another session → "tokens of a permit only rise"', () => {
    const judge = permits();
    judge.begun(world, box(0), work(5));
    expect(names(judge.begun(world, box(0), work(4)))).toEqual(['tokens of a permit only rise']);
    const foreign = work(5, {
      issue: 9,
      fence: { lease: 'guard', token: tokenHex({ epoch: 1, counter: 5 }), session: 'b' },
    });
    expect(names(judge.begun(world, box(0), foreign))).toEqual(['tokens of a permit only rise']);
  });

  it('permits: the same step, try and issue again → "a step at most once per token", whatever the voters forgot', () => {
    const judge = permits(false);
    judge.begun(world, box(0), work(1));
    expect(names(judge.begun(world, box(0), work(1)))).toEqual(['a step at most once per token']);
  });

  it('permits: no fence, or two at work under one slot → found', () => {
    const judge = permits();
    expect(names(judge.begun(world, box(0), work(1, { fence: undefined, untilMs: 9_000 })))).toEqual([
      'no step without its permit',
    ]);
    const second = work(2, { run: 'box-0001/restart-fan#1', untilMs: 9_000 });
    expect(names(judge.begun(world, box(1), second))).toEqual(['at most k repairs of a guard']);
  });

  const action = { run: 'r#1', step: 1, try: 0, issue: 1 };
  const entry = (what: object): JournalEntry =>
    ({
      ...{ run: 'r#1', at: instant(0), v: 1, boot: bootId('f'.repeat(32)), wall: wallTime(0) },
      ...what,
    }) as JournalEntry;
  const intent = entry({ kind: 'intent', step: 1, try: 0, issue: 1, notAfter: instant(1), baseline: '' });

  it('remediation: an intent issued twice, a finished step again, a run that ends twice → found', () => {
    const judge = new RemediationKeepsItsWord();
    judge.journalled(world, 0, [intent]);
    expect(judge.issued(world, 0, action)).toEqual([]);
    expect(names(judge.issued(world, 0, action))).toEqual(['each intent is issued once']);
    judge.journalled(world, 0, [entry({ kind: 'done', step: 1, try: 0, issue: 1, outcome: 'ok', detail: '' })]);
    judge.journalled(world, 0, [{ ...intent, issue: 2 } as JournalEntry]);
    expect(names(judge.issued(world, 0, { ...action, issue: 2 }))).toEqual(['a finished step is never repeated']);
    const end = entry({ kind: 'end', outcome: 'FAILED', reason: '' });
    expect(judge.journalled(world, 0, [end])).toEqual([]);
    expect(names(judge.journalled(world, 0, [end]))).toEqual(['a run ends once']);
  });

  // Mutants of the leases are hunted by the harm that they do; these are steps on the way to it.
  it.each([
    ['quorum of reachable voters', "a holder's window ends before its quorum's"],
    ['restarted voter votes at once', 'nobody votes while mute, sealed, unborn or of another epoch'],
    ['voter change without seal', 'one successor per epoch'],
  ])('leases: %s → "%s"', (name, invariant) => {
    const plant = mutants.get(name)!;
    expect(names(runLeaseSeed(1, plant, plant.bias, false).violations)).toContain(invariant);
  });

  it('queues: a driver that had to refuse inputs → "queues bounded"', () => {
    const full = { ...world, boxes: [{ index: 0, driver: { counters: { refused: 3 } } }] } as unknown as World;
    expect(names(queuesBounded(full))).toEqual(['queues bounded']);
    expect(queuesBounded({ ...full, boxes: [{ index: 0, driver: { counters: { refused: 0 } } }] } as never)).toEqual(
      [],
    );
  });

  it('views: one that has another number of a peer than that peer → "views agree on incarnations"', () => {
    const core = (own: number, other: number) => ({
      membership: {
        incarnationOf: (member: number) => (member === own ? 4 : other),
        bootCounterOf: () => 1,
      },
    });
    const view = (seen: number) =>
      ({
        now: 0,
        boxes: [
          { index: 0, core: core(0, seen) },
          { index: 1, core: core(1, 4) },
        ],
      }) as unknown as World;
    expect(numbersAgree(view(4))).toEqual([]);
    expect(names(numbersAgree(view(3)))).toEqual(['views agree on incarnations']);
  });

  it('determinism: a core that keeps something from one run to the next → found', () => {
    let cores = 0;
    const run = {
      scenario: 'crash',
      agents: 3,
      seed: 1,
      durationS: 30,
      core: (parts: ConstructorParameters<typeof AgentCore>[0]) =>
        new AgentCore({ ...parts, random: parts.random.fork(`core ${cores++}`) }),
    };
    expect(names(playTwice(run).report.violations)).toContain('determinism');
  });

  it('a quarter lost, and nobody refutes what is suspected at once → "the innocent are not declared dead"', () => {
    const run = {
      scenario: 'quarter-lost',
      agents: 12,
      seed: 1,
      override: { network: { ...calmNetwork, loss: 0.25 } },
    };
    expect(runScenario(run).violations).toEqual([]);
    const { kind } = membershipMutants.get('no refutation')!.plant;
    const plant = { ...(kind ? { kind } : {}), options: { verifyRounds: 0 } };
    const { violations } = runScenario({ ...run, core: (parts) => new PlantedCore(parts, plant) });
    expect(names(violations)).toContain('the innocent are not declared dead');
  });
});
