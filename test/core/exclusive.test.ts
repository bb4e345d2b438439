import { describe, expect, it } from 'vitest';
import { entryId } from '../../agent/base/ids.ts';
import { instant } from '../../agent/base/time.ts';
import { leaseDefaults } from '../../agent/core/leases/options.ts';
import { sessionId } from '../../agent/core/leases/session.ts';
import type { WorkflowSpec } from '../../agent/core/remediation/workflow.ts';
import { cellStates, verdictView } from '../../agent/status.ts';
import { ExclusiveCrew, exclusivePlan, lingerMs } from './exclusive-crew.ts';
import { step, workflow } from './remediation/repair-world.ts';

const { leaseMs } = leaseDefaults;

const started = (): ExclusiveCrew => {
  const crew = new ExclusiveCrew(exclusivePlan(3)).startAll();
  crew.runUntil(() => crew.holders().length === 1);
  return crew.run(1_000);
};
const atMostOne = (crew: ExclusiveCrew) => () => expect(crew.holders().length).toBeLessThan(2);

describe('an exclusive duty', () => {
  it('is started with its right, and only on one agent; everybody sees who carries it', () => {
    const crew = started();
    const [holder] = crew.holders();
    crew.run(5_000, () => expect(crew.holders()).toEqual([holder]));
    const { running } = crew.boxes[holder!]!;
    expect(running).toMatchObject({ lease: 'duty:pump/poll', session: `${holder}.1.1` });
    expect(running?.token).toMatch(/^0001[0-9a-f]{12}$/);
    expect(crew.boxes.map(({ core }) => core!.holder(0))).toEqual([holder, holder, holder]);
    expect(crew.boxes.map(({ core }) => core!.mine(0))).toEqual([0, 1, 2].map((box) => box === holder));
  });

  it('its right to act ends with its window, whatever is heard: asked with a later clock it is gone', () => {
    const crew = started();
    const [holder] = crew.holders();
    const core = crew.boxes[holder!]!.core!;
    const at = (elapsed: number) => core.mayAct({ elapsed: instant(elapsed), monotonic: instant(crew.now) }, 0);
    expect(at(crew.now)?.token).toBe(crew.boxes[holder!]!.running!.token);
    expect(at(crew.now + leaseMs)).toBeUndefined();
    const other = crew.boxes[(holder! + 1) % 3]!.core!;
    expect(other.mayAct({ elapsed: instant(crew.now), monotonic: instant(crew.now) }, 0)).toBeUndefined();
  });

  it('its holder is killed → another one goes on from the replicated checkpoint, under a larger token and term', () => {
    const crew = started();
    const [dead] = crew.holders();
    const before = crew.boxes[dead!]!.running!.token;
    crew.deliver(dead!, { kind: 'checkpoint-taken', duty: 0, data: Uint8Array.of(42) });
    crew.run(1_000);
    crew.kill(dead!);
    crew.runUntil(() => crew.holders().length === 1);
    const [next] = crew.holders();
    expect(next).not.toBe(dead);
    expect(crew.boxes[next!]!.running!.token > before).toBe(true);
    const [first, second] = crew.taken;
    expect(second).toMatchObject({ box: next, checkpoint: 42 });
    expect(second!.term).toBeGreaterThan(first!.term);
  });

  it('its holder is killed, its supervisor shows it → the voters say that it is dead, proven, until its next life', () => {
    const crew = started();
    const [dead] = crew.holders();
    const others = [0, 1, 2].filter((box) => box !== dead);
    const verdicts = () => others.map((box) => verdictView(crew.boxes[box]!.core!).map((s) => [s.text, s.proven]));
    crew.kill(dead!);
    for (const box of others) crew.deliver(box, { kind: 'session-died', session: sessionId(`${dead}.1.1`) });
    crew.run(100);
    const proven = [`box-${dead} is dead, proven by its certificate`, true];
    expect(verdicts()).toEqual([[proven], [proven]]);
    crew.run(5_000);
    expect(verdicts()).toEqual([[proven], [proven]]);
    crew.start(dead!);
    crew.run(3_000);
    expect(verdicts()).toEqual([[], []]);
    // A certificate that comes late is of the former life.
    for (const box of others) crew.deliver(box, { kind: 'session-died', session: sessionId(`${dead}.1.1`) });
    crew.run(1_000);
    expect(verdicts()).toEqual([[], []]);
  });

  it('its voter starts anew → its status says mute until T·(1+2ρ) is over, then voting', () => {
    const crew = started();
    const [holder] = crew.holders();
    const voter = (holder! + 1) % 3;
    crew.kill(voter);
    crew.run(100);
    crew.start(voter);
    const startedAt = crew.now;
    const vote = () => {
      const now = instant(crew.now);
      return cellStates({ core: crew.boxes[voter]!.core!, holderTime: () => ({ elapsed: now, monotonic: now }) })[0];
    };
    const seen = new Set<string | undefined>();
    crew.run(leaseMs * (1 + 2 * leaseDefaults.drift) - 10, () => seen.add(vote()?.vote));
    expect(seen).toContain('mute');
    expect(seen).not.toContain('voting');
    crew.run(startedAt + leaseMs * (1 + 2 * leaseDefaults.drift) + 10 - crew.now);
    expect(vote()).toMatchObject({ cell: 'line', vote: 'voting', voters: ['box-0', 'box-1', 'box-2'] });
  });

  it('its holder stands still for 5 s → when it wakes, the duty is ended at once, before anything else', () => {
    const crew = started();
    const [frozen] = crew.holders();
    const box = crew.boxes[frozen!]!;
    box.frozenUntil = crew.now + 5_000;
    crew.runUntil(() => crew.holders().length === 2);
    crew.runUntil(() => crew.now >= box.frozenUntil);
    crew.run(2);
    expect(crew.stops.at(-1)).toMatchObject({ box: frozen, atOnce: true });
    crew.run(5_000, atMostOne(crew));
    expect(crew.holders()).not.toEqual([frozen]);
  });

  it('it cannot run where it was taken → its lease is given back at once, and another agent takes it', () => {
    const crew = new ExclusiveCrew(exclusivePlan(3));
    crew.startFails = (box) => box < 2;
    crew.startAll();
    crew.runUntil(() => crew.holders().length === 1, 10_000);
    expect(crew.holders()).toEqual([2]);
    expect(crew.taken.length).toBeLessThan(6);
  });

  it('its holder leaves → it is ended gently, then given back, and taken over without waiting for T', () => {
    const crew = started();
    const [leaving] = crew.holders();
    crew.stopMs = 100;
    crew.deliver(leaving!, { kind: 'leave-ordered' });
    const tookMs = crew.runUntil(() => crew.holders().some((box) => box !== leaving));
    expect(crew.stops.at(-1)).toMatchObject({ box: leaving, atOnce: false });
    expect(tookMs).toBeGreaterThanOrEqual(100);
    expect(tookMs).toBeLessThan(500);
  });

  it('its holder drains → another one takes it, and it stays away until the drain ends', () => {
    const crew = started();
    const [drained] = crew.holders();
    crew.deliver(drained!, { kind: 'drain-ordered', until: instant(Number.POSITIVE_INFINITY) });
    crew.runUntil(() => crew.holders().some((box) => box !== drained));
    crew.run(10_000, () => expect(crew.holders()).not.toContain(drained));
  });

  it('its holder drains with work under way → the successor has its last state before it is ended', () => {
    const crew = started();
    const [drained] = crew.holders();
    crew.deliver(drained!, { kind: 'checkpoint-taken', duty: 0, data: Uint8Array.of(7) });
    crew.run(1);
    crew.deliver(drained!, { kind: 'checkpoint-taken', duty: 0, data: Uint8Array.of(8) });
    const { stops } = crew;
    crew.deliver(drained!, { kind: 'drain-ordered', until: instant(Number.POSITIVE_INFINITY) });
    expect(stops).toEqual([]);
    crew.run(3);
    expect(stops).toMatchObject([{ box: drained, atOnce: false }]);
    crew.runUntil(() => crew.holders().some((box) => box !== drained));
    expect(crew.taken.at(-1)).toMatchObject({ checkpoint: 8 });
  });

  it('its holder drains and the successor is out of reach → it waits for it only so long', () => {
    const crew = started();
    const [drained] = crew.holders();
    crew.deliver(drained!, { kind: 'checkpoint-taken', duty: 0, data: Uint8Array.of(7) });
    crew.run(2_000);
    crew.deliver(drained!, { kind: 'drain-ordered', until: instant(Number.POSITIVE_INFINITY) });
    for (const { index } of crew.boxes) if (index !== drained) crew.cut.add(`${drained}-${index}`);
    crew.run(1_500);
    expect(crew.holders()).toEqual([drained]);
    crew.run(1_000);
    expect(crew.holders()).not.toContain(drained);
  });

  it('most voters cannot be reached → it stops within T, and runs again when they can', () => {
    const crew = started();
    const [holder] = crew.holders();
    for (const other of [0, 1, 2]) if (other !== holder) crew.cut.add(`${holder}-${other}`);
    crew.run(leaseMs + 50);
    expect(crew.holders()).not.toContain(holder);
    crew.runUntil(() => crew.holders().length === 1);
    crew.cut.clear();
    crew.run(10_000, atMostOne(crew));
    expect(crew.holders()).toHaveLength(1);
  });
});

describe('a cell whose voters die', () => {
  it('a majority of them → said once, by one that lives, with the way out; back → said again', () => {
    const crew = new ExclusiveCrew(exclusivePlan(5)).startAll();
    crew.runUntil(() => crew.holders().length === 1);
    const told = (name: string) =>
      crew.boxes.flatMap(({ events, index }) =>
        events.filter((text) => text.startsWith(name)).map((text) => [index, text] as const),
      );
    crew.kill(0);
    crew.run(20_000);
    expect(told('majority-lost')).toEqual([]);
    crew.kill(1);
    crew.run(20_000);
    const [[speaker, text] = [-1, ''], ...more] = told('majority-lost');
    expect(more).toEqual([]);
    expect(speaker).toBe(2);
    expect(text).toContain(
      '1 of the voters live as seen from here, 2 are needed (gone: box-0, box-1): nothing exclusive begins',
    );
    expect(text).toContain('millwright site force-epoch');
    crew.start(0);
    crew.run(20_000);
    expect(told('majority-back').length).toBeGreaterThan(0);
    expect(told('majority-lost')).toHaveLength(1);
  });
});

describe('a workflow of an exclusive duty', () => {
  it('its steps go with the token of the duty, and none begins once the right is gone', () => {
    const nightly = workflow({
      index: 0,
      id: entryId('pump/flush'),
      runsOn: { on: 'holder', duty: 0 },
      when: undefined,
      steps: [step('one', { timeoutMs: 5_000 }), step('two')],
      ifFailed: [],
    });
    const crew = new ExclusiveCrew(exclusivePlan(3, 1, [nightly])).startAll();
    crew.stepMs = 2_500;
    crew.runUntil(() => crew.holders().length === 1);
    const [holder] = crew.holders();
    const { running } = crew.boxes[holder!]!;
    crew.deliver(holder!, { kind: 'workflow-ordered', workflow: 0, by: 'a person' });
    crew.runUntil(() => crew.rights.length === 1);
    expect(crew.rights).toEqual([{ box: holder, lease: 'duty:pump/poll', token: running!.token }]);
    for (const other of [0, 1, 2]) if (other !== holder) crew.cut.add(`${holder}-${other}`);
    crew.run(10_000);
    expect(crew.rights).toHaveLength(1);
  });
});

describe('a permit', () => {
  const reboot = (agent: number, change: Partial<WorkflowSpec> = {}): WorkflowSpec =>
    workflow({
      index: agent,
      id: entryId(`box-${agent}/reboot`),
      thing: agent,
      runsOn: { on: 'agent', agent },
      when: undefined,
      permit: { cell: 0, name: 'reboot' },
      steps: [step('down'), step('up')],
      guardWaitMs: 10_000,
      ifFailed: [],
      ...change,
    });
  const crewOf = (slots: number, change: Partial<WorkflowSpec> = {}): ExclusiveCrew => {
    const crew = new ExclusiveCrew(
      exclusivePlan(
        4,
        slots,
        [0, 1, 2, 3].map((agent) => reboot(agent, change)),
      ),
    );
    return crew.startAll().run(4_000);
  };
  const order = (crew: ExclusiveCrew, ...boxes: number[]) => {
    for (const box of boxes) crew.deliver(box, { kind: 'workflow-ordered', workflow: box, by: 'a person' });
  };
  const acting = (crew: ExclusiveCrew) => crew.boxes.filter((box) => box.acting > 0).length;
  const stepped = (crew: ExclusiveCrew, box: number) =>
    crew.boxes[box]!.journal.filter((entry) => entry.kind === 'done' && entry.outcome === 'ok').length;
  const ends = (crew: ExclusiveCrew, box: number) =>
    crew.boxes[box]!.journal.flatMap((entry) => (entry.kind === 'end' ? [`${entry.outcome} ${entry.reason}`] : []));
  /** From its first intent to the end of its last step: the whole of it is under the permit. */
  const within = (crew: ExclusiveCrew) =>
    crew.boxes.filter(({ journal }) => {
      const begun = journal.some(({ kind }) => kind === 'intent');
      return begun && !journal.some(({ kind }) => kind === 'verify' || kind === 'end');
    }).length;

  it('of one slot → four runs go one after another, each whole', () => {
    const crew = crewOf(1, { guardWaitMs: 60_000 });
    order(crew, 0, 1, 2, 3);
    let most = 0;
    crew.run(30_000, () => {
      most = Math.max(most, acting(crew), within(crew));
    });
    expect([0, 1, 2, 3].map((box) => stepped(crew, box))).toEqual([2, 2, 2, 2]);
    expect(most).toBe(1);
    // Every effect went with its right, and from run to run the token rises.
    const tokens = crew.rights.map(({ lease, token }) => [lease, token ?? '']);
    expect(tokens).toHaveLength(8);
    expect(tokens.every(([lease]) => lease === 'guard:line/reboot/slot-1')).toBe(true);
    expect(tokens.map(([, token]) => token)).toEqual(tokens.map(([, token]) => token).toSorted());
    expect(new Set(tokens.map(([, token]) => token)).size).toBe(4);
  });

  it('of two slots → two at once, never three', () => {
    const crew = crewOf(2, { guardWaitMs: 60_000 });
    order(crew, 0, 1, 2, 3);
    let most = 0;
    crew.run(30_000, () => {
      most = Math.max(most, acting(crew), within(crew));
    });
    expect([0, 1, 2, 3].map((box) => stepped(crew, box))).toEqual([2, 2, 2, 2]);
    expect(most).toBe(2);
  });

  it('where no majority of voters answers → denied after the wait at the guards, and nothing was done', () => {
    const crew = crewOf(1);
    crew.kill(0);
    crew.kill(1);
    order(crew, 3);
    crew.run(12_000);
    expect(ends(crew, 3)).toEqual(['DENIED permit: waits for the permit line/reboot']);
    expect(stepped(crew, 3)).toBe(0);
  });

  it('its run dies in the middle → it stays taken for the linger, then the next run goes on', () => {
    const crew = crewOf(1, { guardWaitMs: 60_000 });
    order(crew, 3);
    crew.runUntil(() => acting(crew) === 1);
    const diedAt = crew.now;
    crew.kill(3);
    order(crew, 2);
    crew.runUntil(() => acting(crew) === 1, 40_000);
    expect(crew.now - diedAt).toBeGreaterThan(lingerMs);
    expect(crew.now - diedAt).toBeLessThan(lingerMs + 2 * leaseMs + 2_000);
  });

  it('no longer confirmed in the middle → no further step begins until it is', () => {
    const crew = crewOf(1, { guardWaitMs: 60_000, steps: [step('down', { timeoutMs: 5_000 }), step('up')] });
    crew.stepMs = 3_000;
    order(crew, 3);
    crew.runUntil(() => acting(crew) === 1);
    for (const other of [0, 1, 2]) crew.cut.add(`3-${other}`);
    crew.run(8_000);
    expect(stepped(crew, 3)).toBe(1);
    expect(acting(crew)).toBe(0);
    crew.cut.clear();
    crew.runUntil(() => stepped(crew, 3) === 2);
  });
});
