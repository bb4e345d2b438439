import type { Random } from '../../agent/base/random.ts';
import { presets } from '../../agent/core/membership/options.ts';
import type { FaultEvent } from '../faults/fault.ts';
import type { NetworkOptions } from '../world/network.ts';
import { drawBasics, drawBoxes, drawExclusive, type Scenario, type ScenarioOptions, settleMs } from './scenario.ts';

/** What may go wrong; each seed leaves some of it out, so that no fault hides behind the noise of all others. */
const kinds = [
  'kill',
  'power',
  'storm',
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
  'one-way',
  'link',
  'flap',
  'network',
  'break',
] as const;
type Kind = (typeof kinds)[number];

/**
 * Swarm testing (Groce et al., "Swarm Testing", ISSTA 2012): the seed draws everything, and whole kinds of faults may be
 * off. First a phase in which only safety is demanded, then everything is healed and liveness is.
 */
export const swarm: Scenario = {
  name: 'swarm',
  about: 'the seed draws everything: sizes, clocks, disks, wires and all kinds of faults; then all is healed',
  agents: 9,
  reaches: [
    'suspicion refuted',
    'live box held dead',
    'dead box came back',
    'restart before the death was known',
    'crash while cut off',
    'one-way cut during a crash',
    'crash while frozen',
    'frozen for longer than a suspicion',
    'two crashes within a second',
    'most of the site down at once',
    'duty taken over',
    'duty run twice for a while',
    'duty without anybody able',
    'message lost',
    'repair over a restart',
    'repair stopped by a person',
    'clone at work',
    'store lost or damaged',
    'wall clock jumped',
    'clock stood still',
    'exclusive duty taken over',
    'holder of an exclusive duty frozen',
    'repair waited for a permit',
    'permit held over a crash',
    'all permits at work',
    'two versions of the site file at work',
    'two protocols spoken',
  ],
  draw(random, agents, durationS) {
    const basics = drawBasics(random, agents);
    const on = kinds.filter(() => random.chance(0.4));
    const faultMs = random.between(20_000, 70_000);
    const endOfFaults = settleMs + faultMs;
    const repairs = on.includes('break') ? Math.min(agents, 4) : 0;
    const events = drawFaults(random.fork('faults'), on, { ...basics, agents }, endOfFaults, repairs);
    const permits = repairs >= 2 ? drawPermits(random.fork('permits'), repairs, endOfFaults) : undefined;
    if (permits) events.push(...permits.breaks);
    events.push(...drawUpgrades(random.fork('upgrades'), agents, endOfFaults));
    const preset = random.chance(0.15) ? (random.chance(0.5) ? presets.wifi : presets.quiet) : undefined;
    return {
      ...basics,
      ...(random.fork('with leases').chance(0.8) ? drawExclusive(random, agents) : {}),
      repairs,
      ...(permits ? { permits: permits.slots } : {}),
      membership: preset ?? {},
      // A start that fails now and then is a fault as well, and ends with the others only where its chance is small.
      dutyFailure: basics.dutyFailure / 2,
      durationS: Math.max(durationS ?? 0, Math.ceil(endOfFaults / 1000) + (preset ? 200 : 75)),
      faults: [...events.toSorted((a, b) => a.atMs - b.atMs), ...healed(events, agents, endOfFaults, basics.network)],
    };
  },
};

/** Faults from the end of settling on, at times that like the moment of other faults, of probes and of suspicions. */
function drawFaults(
  random: Random,
  on: readonly Kind[],
  { agents, network }: Pick<ScenarioOptions, 'agents' | 'network'>,
  endMs: number,
  repairs: number,
): FaultEvent[] {
  const events: FaultEvent[] = [];
  if (on.length === 0) return events;
  const everyMs = random.between(400, 6_000);
  const bias = random.chance(0.6) ? random.between(0, 0.6) : 0;
  const down = new Map<number, number>();
  const stopped = new Map<number, number>();
  let clones = 0;
  let atMs = settleMs + random.exponential(everyMs);
  while (atMs < endMs && events.length < 200) {
    const kind = on[random.below(on.length)]!;
    const agent = random.below(agents);
    const ms = random.chance(0.6) ? random.between(50, 1_500) : random.between(1_500, 12_000);
    const until = Math.min(ms, endMs - atMs);
    const isDown = (down.get(agent) ?? 0) > atMs;
    const [left, right] = sides(random, agents, kind === 'link');
    switch (kind) {
      case 'kill':
      case 'power':
        if (isDown) break;
        events.push({ kind: 'crash', atMs, agent, closes: kind === 'kill' });
        if (random.chance(0.85)) {
          events.push({ kind: 'restart', atMs: atMs + ms, agent });
          down.set(agent, atMs + ms);
        } else down.set(agent, Number.POSITIVE_INFINITY);
        break;
      case 'storm':
        for (const each of drawBoxes(random, agents, 1 + random.below(agents))) {
          if ((down.get(each) ?? 0) > atMs) continue;
          const upAt = atMs + random.between(100, ms + 200);
          events.push({ kind: 'crash', atMs: atMs + random.between(0, 100), agent: each, closes: random.chance(0.5) });
          events.push({ kind: 'restart', atMs: upAt + 100, agent: each });
          down.set(each, upAt + 100);
        }
        break;
      case 'pause':
      case 'suspend':
        events.push({ kind, atMs, agent, ms: until });
        break;
      case 'slow':
        events.push({ kind, atMs, agent, ms: until, stepMs: random.between(0.5, 20) });
        break;
      case 'drift':
        events.push({
          kind,
          atMs,
          agent,
          ms: until,
          rate: 1 + random.between(-1, 1) * (random.chance(0.7) ? 0.01 : 0.05),
        });
        break;
      case 'wall':
        events.push({ kind, atMs, agent, byMs: random.between(-1, 1) * 10 ** random.between(2, 8) });
        break;
      case 'clone':
        // Each needs a place of its own in the world.
        if (isDown || clones++ >= 3) break;
        events.push({ kind, atMs, agent, ms: until });
        break;
      case 'disk': {
        if (isDown) break;
        const what = (['full', 'failing', 'torn', 'wiped', 'rolled-back', 'unsynced'] as const)[random.below(6)]!;
        const forMs = Math.max(200, until);
        events.push({ kind, atMs, agent, what, ms: forMs });
        down.set(agent, atMs + forMs + 500);
        break;
      }
      case 'broker':
        events.push({ kind, atMs, ms: until });
        break;
      case 'plc':
        events.push({ kind, atMs, ms: until, timeouts: random.between(0.1, 0.9), lateMs: random.between(10, 3_000) });
        break;
      case 'cut':
      case 'one-way':
      case 'link':
        events.push({ kind: 'cut', atMs, left, right, ...(kind === 'one-way' ? { oneWay: true } : {}) });
        events.push({ kind: 'heal', atMs: atMs + until, left, right });
        break;
      case 'flap':
        events.push({ kind, atMs, left, right, periodMs: random.between(100, 3_000), ms: until });
        break;
      case 'network':
        events.push({ kind, atMs, change: rough(random, network) });
        if (random.chance(0.7)) events.push({ kind, atMs: atMs + until, change: calmed(network) });
        break;
      case 'break': {
        // What a person stopped stays in a person's hands until it has been quiet.
        if (agent >= repairs || (stopped.get(agent) ?? 0) > atMs) break;
        events.push({ kind, atMs, agent });
        if (!random.chance(0.3)) break;
        const stopMs = atMs + random.between(500, 6_000);
        events.push({ kind: 'stop', atMs: stopMs, agent });
        stopped.set(agent, stopMs + 10_000);
        break;
      }
    }
    const last = events.at(-1)?.atMs ?? atMs;
    // Boundaries are where mistakes live: just before and after something else, and about a suspicion's length later.
    if (random.chance(bias))
      atMs = Math.max(atMs + 1, last + (random.chance(0.5) ? random.between(-20, 60) : random.between(600, 1_600)));
    else atMs += random.exponential(everyMs);
  }
  return events.filter((event) => event.atMs < endMs).toSorted((a, b) => a.atMs - b.atMs);
}

/** Not all may be repaired at once. Now and then several break together and want to be, and one dies over it. */
function drawPermits(
  random: Random,
  repairs: number,
  endMs: number,
): { readonly slots: number; readonly breaks: readonly FaultEvent[] } | undefined {
  if (random.chance(0.3)) return undefined;
  const breaks: FaultEvent[] = [];
  for (let atMs = settleMs + random.between(0, 8_000); atMs < endMs; atMs += random.between(15_000, 30_000)) {
    const together = drawBoxes(random, repairs, 2 + random.below(repairs - 1));
    for (const agent of together) breaks.push({ kind: 'break', atMs: atMs + random.between(0, 1_500), agent });
    if (!random.chance(0.4)) continue;
    // Two readings see it, and then whoever was quickest is at work.
    const agent = together[random.below(together.length)]!;
    const diesAt = atMs + random.between(1_500, 6_000);
    if (diesAt + 4_000 > endMs) continue;
    breaks.push({ kind: 'crash', atMs: diesAt, agent, closes: random.chance(0.7) });
    breaks.push({ kind: 'restart', atMs: diesAt + random.between(100, 4_000), agent });
  }
  return { slots: random.chance(0.7) ? 1 : 2, breaks: breaks.filter(({ atMs }) => atMs < endMs) };
}

/** A new site file, or a new release of the agent, goes through the site box by box; it need not be done before the end. */
function drawUpgrades(random: Random, agents: number, endMs: number): readonly FaultEvent[] {
  const bundle = random.chance(0.2) ? 2 : undefined;
  const protocol = random.chance(0.12) ? 1 : undefined;
  if (bundle === undefined && protocol === undefined) return [];
  const everyMs = random.between(100, 6_000);
  let atMs = random.between(settleMs, endMs);
  return drawBoxes(random, agents, agents).map((agent) => {
    const fault: FaultEvent = { kind: 'upgrade', atMs: Math.min(atMs, endMs - 1), agent, bundle, protocol };
    atMs += random.exponential(everyMs);
    return fault;
  });
}

function sides(random: Random, agents: number, isPair: boolean): readonly [readonly number[], readonly number[]] {
  const order = drawBoxes(random, agents, agents);
  if (isPair) return [[order[0]!], [order[1]!]];
  const size = random.chance(0.4) ? 1 : 1 + random.below(agents - 1);
  return [order.slice(0, size).sort((a, b) => a - b), order.slice(size).sort((a, b) => a - b)];
}

function rough(random: Random, network: NetworkOptions): Partial<NetworkOptions> {
  const draws: readonly (() => Partial<NetworkOptions>)[] = [
    () => ({ loss: random.chance(0.7) ? random.between(0, 0.25) : random.between(0.25, 0.6) }),
    () => ({
      burst: { goodMs: random.between(500, 10_000), badMs: random.between(20, 1_500), loss: random.between(0.5, 1) },
    }),
    () => ({
      tail: { share: random.between(0.001, 0.1), ms: random.between(5, 100), maxMs: random.between(200, 5_000) },
    }),
    () => ({ duplication: random.between(0, 0.3), reordering: random.between(0, 0.5) }),
    () => ({ corruption: random.between(0, 0.1) }),
    () => ({ stalls: random.between(0, 0.05), retransmissionLoss: random.between(0, 0.5) }),
    () => ({ uplink: { bytesPerSecond: random.between(3_000, 50_000), queueBytes: random.between(1_000, 30_000) } }),
    () => ({ latencyMs: network.latencyMs + random.between(0, 60), jitterMs: random.between(0, 30) }),
  ];
  return draws[random.below(draws.length)]!();
}

/** As it was drawn, with nothing left of what came on top. */
export const calmed = (network: NetworkOptions): Partial<NetworkOptions> => ({
  ...network,
  burst: undefined,
  tail: undefined,
  uplink: undefined,
  corruption: 0,
  retransmissionLoss: 0,
});

/** At the end of the faults every box is started, every wire joined, and the network is as it was. */
function healed(events: readonly FaultEvent[], agents: number, atMs: number, network: NetworkOptions): FaultEvent[] {
  const all = Array.from({ length: agents }, (_, agent) => agent);
  const found: FaultEvent[] = [];
  const open = new Map<string, { left: readonly number[]; right: readonly number[] }>();
  for (const event of events) {
    if (event.kind !== 'cut' && event.kind !== 'heal') continue;
    const key = `${event.left.join()}|${event.right.join()}`;
    if (event.kind === 'cut') open.set(key, event);
    else open.delete(key);
  }
  for (const { left, right } of open.values()) found.push({ kind: 'heal', atMs, left, right });
  if (events.some(({ kind }) => kind === 'network')) found.push({ kind: 'network', atMs, change: calmed(network) });
  for (const agent of all) {
    if (events.some((event) => (event.kind === 'crash' || event.kind === 'disk') && event.agent === agent))
      found.push({ kind: 'restart', atMs: atMs + 600 + agent * 7, agent });
  }
  return found;
}
