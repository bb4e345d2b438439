import type { Random } from '../../agent/base/random.ts';
import type { WorkflowSpec } from '../../agent/core/remediation/workflow.ts';
import type { FaultEvent } from '../faults/fault.ts';
import type { Violation } from '../invariants/invariants.ts';
import type { Facts } from '../invariants/measurements.ts';
import {
  boxesOf,
  drawBasics,
  drawBoxes,
  drawExclusive,
  inOrder,
  type Scenario,
  type ScenarioOptions,
  settleMs,
} from './scenario.ts';

/**
 * Stories that have killed clusters, each by name. What they promise beyond the invariants of all is stated beside them:
 * the invariants excuse whoever is cut or frozen, a story knows whom it may not excuse.
 */
const broken = (facts: Facts, invariant: string, text: string): Violation => ({
  invariant,
  atMs: facts.world.now,
  text,
});

/** At most so many verdicts "dead" over boxes that lived, by the innocent over the innocent. */
const nobodyWronged =
  (guilty: (facts: Facts) => ReadonlySet<number>) =>
  (facts: Facts): readonly Violation[] => {
    const excused = guilty(facts);
    const wrong = facts.deaths.filter(
      ({ observer, member, wasUp }) => wasUp && !excused.has(observer) && !excused.has(member),
    );
    if (wrong.length === 0) return [];
    const { observer, member, atMs, why } = wrong[0]!;
    const text = `${wrong.length} times; first at ${Math.round(atMs)} ms: box ${observer} held box ${member} dead: ${why}`;
    return [broken(facts, 'the innocent are not declared dead', text)];
  };

const agentsOf = (facts: Facts, kind: FaultEvent['kind']): ReadonlySet<number> =>
  new Set(facts.options.faults.flatMap((fault) => (fault.kind === kind && 'agent' in fault ? [fault.agent] : [])));

const lonely = (facts: Facts): ReadonlySet<number> =>
  new Set(facts.options.faults.flatMap((fault) => (fault.kind === 'cut' ? fault.right : [])));

/**
 * What all these stories have in common: exclusive duties, and work that starts when it is told to, so that whatever goes
 * wrong was the story's doing. `faults` may draw, and does so last.
 */
function story(
  random: Random,
  agents: number,
  durationS: number,
  faults: () => readonly FaultEvent[],
): ScenarioOptions {
  const drawn = { ...drawBasics(random, agents), ...drawExclusive(random, agents) };
  return { ...drawn, dutyFailure: 0, durationS, faults: inOrder(faults()) };
}

/** When the first thing goes wrong: the site has settled, and where in its rhythm it is hit is chance. */
const soon = (random: Random, withinMs = 2_000): number => settleMs + random.between(0, withinMs);

/** The wires between two groups, out and whole again. */
const apart = (
  atMs: number,
  healAtMs: number,
  left: readonly number[],
  right: readonly number[],
  oneWay?: boolean,
): FaultEvent[] => [
  { kind: 'cut', atMs, left, right, ...(oneWay === undefined ? {} : { oneWay }) },
  { kind: 'heal', atMs: healAtMs, left, right },
];

/** Seconds until a minute after the last trouble, or as long as was asked for. */
const untilWell = (lastMs: number, durationS: number | undefined): number =>
  Math.max(durationS ?? 0, Math.ceil(lastMs / 1000) + 60);

/** An intent's time to begin, a scheduling here and there, and the disk. */
const perAttemptMs = 2_500;

/** What one repair may take at the most, however it ends: all attempts at each step, verification and soak. */
const repairWithinMs = ({ steps, verifyTimeoutMs, soakMs }: WorkflowSpec): number =>
  steps.reduce(
    (sum, { timeoutMs, landsWithinMs, retry }) =>
      sum + (retry.times + 1) * (timeoutMs + landsWithinMs + perAttemptMs) + retry.backoffMs * (2 ** retry.times - 1),
    verifyTimeoutMs + soakMs,
  );

/** No repair goes on for longer than its workflow allows, and none attempts a step more often. */
const repairsEndInTime = (facts: Facts): readonly Violation[] => {
  const found: Violation[] = [];
  for (const { index, disk } of facts.world.boxes) {
    const opened = new Map<string, number>();
    const attempts = new Map<string, number>();
    for (const entry of disk.journal) {
      const workflow = facts.world.plan.workflows.find(({ id }) => 'run' in entry && entry.run.startsWith(`${id}#`));
      if (workflow === undefined || entry.kind === 'heartbeat') continue;
      const text = `box ${index}, ${entry.run}: `;
      if (entry.kind === 'open') opened.set(entry.run, entry.at);
      if (entry.kind === 'intent') {
        const key = `${entry.run} ${entry.step}`;
        const count = (attempts.get(key) ?? 0) + 1;
        attempts.set(key, count);
        const { name, retry } = workflow.steps[entry.step]!;
        if (count === retry.times + 2)
          found.push(broken(facts, 'no step is attempted more often than declared', `${text}${name}`));
      }
      const tookMs = entry.kind === 'end' ? entry.at - (opened.get(entry.run) ?? entry.at) : 0;
      if (tookMs > repairWithinMs(workflow))
        found.push(broken(facts, 'a repair ends in the time of its steps', `${text}${Math.round(tookMs)} ms`));
    }
  }
  return found;
};

/** Three exclusive duties and three voters: what the stories about rights are told with. */
const threeVoters = (agents: number): Pick<ScenarioOptions, 'exclusive' | 'voters'> => ({
  exclusive: 3,
  voters: agents < 3 ? 1 : 3,
});

export const killers: readonly Scenario[] = [
  {
    name: 'both-reach-c',
    about: 'A and B are cut from each other, and both reach C: nobody is declared dead, nothing moves',
    agents: 5,
    least: 3,
    reaches: ['message lost'],
    draw(random, agents, durationS) {
      const [a, b] = drawBoxes(random, agents, 2) as [number, number];
      const atMs = soon(random);
      const healAtMs = atMs + random.between(15_000, 30_000);
      return story(random, agents, durationS ?? 90, () => apart(atMs, healAtMs, [a], [b], random.chance(0.3)));
    },
    promises: nobodyWronged(() => new Set()),
  },
  {
    name: 'sends-but-hears-nothing',
    about: 'a runner still sends and hears nothing: it accuses nobody in public, and its work goes on elsewhere',
    agents: 7,
    reaches: ['live box held dead', 'dead box came back'],
    draw(random, agents, durationS) {
      const [deaf] = drawBoxes(random, agents, 1) as [number];
      const others = boxesOf(agents).filter((agent) => agent !== deaf);
      const atMs = soon(random);
      return story(random, agents, durationS ?? 90, () =>
        apart(atMs, atMs + random.between(15_000, 25_000), others, [deaf], true),
      );
    },
    promises: nobodyWronged(lonely),
  },
  {
    name: 'two-agents-cable-pulled',
    about: 'two agents, the cable between them is pulled, both are alive: each works on, then one runner is left',
    agents: 2,
    reaches: ['live box held dead', 'dead box came back', 'duty run twice for a while'],
    draw(random, _agents, durationS) {
      const atMs = soon(random);
      return story(random, 2, durationS ?? 90, () => apart(atMs, atMs + random.between(10_000, 30_000), [0], [1]));
    },
  },
  {
    name: 'quarter-lost',
    about: 'a quarter of all messages is lost among 1000 agents, and nobody is declared dead',
    agents: 1000,
    reaches: ['message lost'],
    draw(random, agents, durationS) {
      const basics = drawBasics(random, agents);
      return {
        ...basics,
        network: { ...basics.network, loss: 0.25 },
        dutyFailure: 0,
        durationS: durationS ?? 40,
        faults: [],
      };
    },
    promises: nobodyWronged(() => new Set()),
  },
  {
    name: 'half-vanishes',
    about: 'half of the agents (100 of 200) vanish at once and return within 20 s',
    agents: 200,
    reaches: ['two crashes within a second', 'dead box came back', 'duty taken over'],
    draw(random, agents, durationS) {
      const atMs = soon(random);
      const faults: FaultEvent[] = [];
      for (const agent of drawBoxes(random, agents, Math.floor(agents / 2))) {
        const fellAt = atMs + random.between(0, 200);
        faults.push({ kind: 'crash', atMs: fellAt, agent, closes: false });
        faults.push({ kind: 'restart', atMs: atMs + random.between(15_000, 20_000), agent });
      }
      return story(random, agents, durationS ?? 90, () => faults);
    },
  },
  {
    name: 'slow-accuser',
    about: 'one agent ten times slower than the others would accuse everybody; nobody else believes it',
    agents: 12,
    draw(random, agents, durationS) {
      const [agent] = drawBoxes(random, agents, 1) as [number];
      const duration = durationS ?? 90;
      const atMs = soon(random);
      return story(random, agents, duration, () => [
        // At some 40 steps a second for its probes and those of others, this is an event loop that is never idle.
        { kind: 'slow', atMs, agent, ms: duration * 1000 - atMs - 40_000, stepMs: random.between(10, 25) },
      ]);
    },
    promises: nobodyWronged((facts) => agentsOf(facts, 'slow')),
  },
  {
    name: 'cloned-disk',
    about: 'a disk is cloned: two agents with one key run for a while; the others keep their heads, then one is left',
    agents: 7,
    reaches: ['clone at work'],
    draw(random, agents, durationS) {
      const [agent] = drawBoxes(random, agents, 1) as [number];
      const atMs = soon(random);
      return story(random, agents, durationS ?? 90, () => [
        { kind: 'clone', atMs, agent, ms: random.between(5_000, 20_000) },
      ]);
    },
    promises: nobodyWronged((facts) => agentsOf(facts, 'clone')),
  },
  {
    name: 'hour-apart',
    about: 'a partition of an hour, then healed: without a restart the two halves find each other',
    agents: 5,
    reaches: ['live box held dead', 'dead box came back', 'duty run twice for a while'],
    draw(random, agents, durationS) {
      const size = 1 + random.below(agents - 1);
      const order = drawBoxes(random, agents, agents);
      const [left, right] = [order.slice(0, size), order.slice(size)];
      const atMs = soon(random);
      const duration = durationS ?? 3_680;
      const healAtMs = Math.max(atMs + 5_000, duration * 1000 - 60_000);
      return story(random, agents, duration, () => apart(atMs, healAtMs, left, right));
    },
  },
  {
    name: 'reboot-storm',
    about: 'all boxes reboot again and again within a minute, as after a site-wide power flicker',
    agents: 20,
    reaches: ['most of the site down at once', 'restart before the death was known', 'two crashes within a second'],
    draw(random, agents, durationS) {
      const faults: FaultEvent[] = [];
      for (const agent of boxesOf(agents)) {
        let atMs = soon(random, 500);
        for (let n = 2 + random.below(4); n > 0; n--) {
          const downMs = random.between(300, 8_000);
          faults.push({ kind: 'crash', atMs, agent, closes: random.chance(0.3) });
          faults.push({ kind: 'restart', atMs: atMs + downMs, agent });
          atMs += downMs + random.between(500, 6_000);
        }
      }
      const last = faults.reduce((latest, { atMs }) => Math.max(latest, atMs), 0);
      return story(random, agents, untilWell(last, durationS), () => faults);
    },
  },
  {
    name: 'clock-freeze',
    about: 'boxes are suspended with their clocks for seconds to an hour, and wake believing that no time has passed',
    agents: 7,
    reaches: ['clock stood still', 'live box held dead', 'dead box came back'],
    draw(random, agents, durationS) {
      const faults: FaultEvent[] = [];
      const boxes = drawBoxes(random, agents, 1 + random.below(Math.max(1, Math.floor(agents / 3))));
      let last = 0;
      for (const agent of boxes) {
        const atMs = soon(random, 4_000);
        const ms = random.chance(0.2) ? random.between(60_000, 3_600_000) : random.between(2_000, 30_000);
        faults.push({ kind: 'suspend', atMs, agent, ms });
        if (random.chance(0.5))
          faults.push({ kind: 'wall', atMs: atMs + ms, agent, byMs: random.between(-1, 1) * 600_000 });
        last = Math.max(last, atMs + ms);
      }
      return story(random, agents, untilWell(last, durationS), () => faults);
    },
    promises: nobodyWronged((facts) => agentsOf(facts, 'suspend')),
  },
  {
    name: 'frozen-between-check-and-write',
    about: 'a box stands still between looking at its right and writing: what it writes when it wakes is refused',
    agents: 5,
    reaches: ['holder of an exclusive duty frozen', 'exclusive duty taken over', 'late effect refused'],
    draw(random, agents, durationS) {
      const faults: FaultEvent[] = [];
      const length = Math.max(durationS ?? 240, 80);
      // One after the other, so that somebody is always there to take over.
      for (let atMs = settleMs; atMs < length * 1000 - 40_000; ) {
        const ms = random.between(4_000, 7_000);
        faults.push({ kind: 'suspend', atMs, agent: random.below(agents), ms });
        atMs += ms + random.between(300, 2_500);
      }
      return {
        ...story(random, agents, length, () => faults),
        ...threeVoters(agents),
        // As long as the guard before the end of a right allows, so that many are on their way when a box stands still.
        effectMs: 90,
      };
    },
  },
  {
    name: 'permit-holder-dies',
    about:
      'one repair at a time by permit: the box at work dies in the middle, and nobody begins while its work may land',
    agents: 5,
    reaches: ['repair waited for a permit', 'permit held over a crash', 'all permits at work'],
    draw(random, agents, durationS) {
      const repairs = Math.min(agents, 4);
      const length = Math.max(durationS ?? 300, 120);
      // What a machine was told may happen long after its time-out.
      const faults: FaultEvent[] = [
        { kind: 'plc', atMs: settleMs, ms: length * 1000 - settleMs - 70_000, timeouts: 0.5, lateMs: 3_000 },
      ];
      for (let atMs = settleMs + 500; atMs < length * 1000 - 90_000; atMs += random.between(22_000, 30_000)) {
        const order = drawBoxes(random, repairs, repairs);
        for (const agent of order) faults.push({ kind: 'break', atMs: atMs + random.between(0, 300), agent });
        for (const agent of order.slice(0, 2)) {
          const diesAt = atMs + random.between(1_500, 7_000);
          faults.push({ kind: 'crash', atMs: diesAt, agent, closes: random.chance(0.8) });
          faults.push({ kind: 'restart', atMs: diesAt + random.between(3_000, 8_000), agent });
        }
      }
      return {
        ...drawBasics(random, agents),
        ...drawExclusive(random, agents),
        // Nobody is kept from a permit by a majority that is down: at most two of five die at once.
        voters: agents < 3 ? 1 : agents < 5 ? 3 : 5,
        repairs,
        permits: 1,
        dutyFailure: 0,
        durationS: length,
        faults: faults.toSorted((a, b) => a.atMs - b.atMs),
      };
    },
  },
  {
    name: 'deaf-machines',
    about: 'machines take commands and never act: each repair is given up when its attempts are spent, and people know',
    agents: 3,
    reaches: ['repair given up after time-outs'],
    draw(random, agents, durationS) {
      const repairs = Math.min(agents, 4);
      const length = Math.max(durationS ?? 260, 200);
      const deafMs = length * 1000 - settleMs - 100_000;
      const faults: FaultEvent[] = [
        { kind: 'plc', atMs: settleMs, ms: deafMs, timeouts: random.chance(0.5) ? 1 : 0.9, lateMs: 0, deaf: true },
      ];
      for (const agent of boxesOf(repairs)) faults.push({ kind: 'break', atMs: soon(random, 10_000), agent });
      return {
        ...drawBasics(random, agents),
        repairs,
        dutyFailure: 0,
        durationS: length,
        faults: inOrder(faults),
      };
    },
    promises: repairsEndInTime,
  },
  {
    name: 'rolling-upgrade',
    about: 'a new site file, then a release with another protocol, go through the site box by box while boxes die',
    agents: 7,
    reaches: ['two versions of the site file at work', 'two protocols spoken', 'duty taken over'],
    draw(random, agents, durationS) {
      const faults: FaultEvent[] = [];
      let atMs = settleMs + random.between(0, 2_000);
      for (const to of [{ bundle: 2 }, { bundle: 3, protocol: 1 }]) {
        for (const agent of drawBoxes(random, agents, agents)) {
          faults.push({ kind: 'upgrade', atMs, agent, ...to });
          atMs += random.between(400, 3_000);
        }
        const [agent] = drawBoxes(random, agents, 1) as [number];
        const diesAt = atMs - random.between(500, 6_000);
        faults.push({ kind: 'crash', atMs: diesAt, agent, closes: random.chance(0.5) });
        faults.push({ kind: 'restart', atMs: diesAt + random.between(2_000, 6_000), agent });
        atMs += random.between(2_000, 8_000);
      }
      const last = faults.reduce((latest, fault) => Math.max(latest, fault.atMs), 0);
      return {
        ...drawBasics(random, agents),
        ...drawExclusive(random, agents),
        dutyFailure: 0,
        durationS: Math.max(durationS ?? 0, Math.ceil(last / 1000) + 60),
        faults: faults.toSorted((a, b) => a.atMs - b.atMs),
      };
    },
  },
  {
    name: 'suspended-for-an-hour',
    about:
      'boxes are suspended for an hour with their monotonic clocks, holders and voters among them: none wakes with a right',
    agents: 5,
    reaches: ['clock stood still', 'holder of an exclusive duty frozen', 'exclusive duty taken over'],
    draw(random, agents, durationS) {
      const hour = Math.min(3_600, Math.max(20, (durationS ?? 3_720) - 120)) * 1000;
      // One voter of three at most, or nobody could take over: the voters are the first ones.
      const others = boxesOf(agents).slice(agents < 3 ? 1 : 3);
      const boxes = [...others, random.below(agents < 3 ? 1 : 3)];
      const atMs = soon(random, 3_000);
      const faults = boxes.map(
        (agent): FaultEvent => ({ kind: 'suspend', atMs, agent, ms: hour + random.between(0, 900) }),
      );
      return {
        ...story(random, agents, Math.ceil((atMs + hour) / 1000) + 90, () => faults),
        ...threeVoters(agents),
      };
    },
  },
];
