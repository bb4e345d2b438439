import type { Random } from '../../agent/base/random.ts';
import type { World } from '../world/world.ts';
import type { Broker } from './broker.ts';
import { perSwitch, switchOf } from './site.ts';
import type { Truth } from './truth.ts';

/** What the faults act upon. */
export interface Stage {
  readonly world: World;
  readonly broker: Broker;
  readonly truth: Truth;
  readonly random: Random;
}

/** One thing that is wrong until it is healed. */
export interface Fault {
  readonly kind: FaultKind;
  readonly text: string;
  /** Long enough that whoever can see it has looked. */
  readonly lastsMs: number;
  /** `episodeMs`: how long all that is wrong stays wrong. */
  begin(episodeMs: number): void;
  heal(): void;
}

export const faultKinds = ['gone', 'segment', 'link', 'coordinator', 'my-uplink', 'i-am-slow', 'i-am-cut'] as const;
export type FaultKind = (typeof faultKinds)[number];

/** Draws a fault of that kind; `taken` are the switches that another fault uses already, and it adds its own. */
export function drawFault(kind: FaultKind, stage: Stage, taken: Set<string>): Fault {
  switch (kind) {
    case 'gone':
      return gone(stage, taken);
    case 'segment':
      return segment(stage, taken);
    case 'link':
      return link(stage, taken);
    case 'coordinator':
      return coordinator(stage);
    case 'my-uplink':
      return uplink(stage, taken);
    case 'i-am-slow':
      return slow(stage, taken);
    case 'i-am-cut':
      return cut(stage, taken);
  }
}

function pick({ world, random }: Stage, taken: Set<string>): number {
  for (;;) {
    const agent = random.below(world.boxes.length);
    if (taken.has(switchOf(agent))) continue;
    taken.add(switchOf(agent));
    return agent;
  }
}

const membersOf = ({ world }: Stage, place: string): number[] =>
  world.boxes.map((box) => box.index).filter((agent) => switchOf(agent) === place);

const restart = ({ world, broker }: Stage, agent: number): void => {
  world.start(agent);
  broker.started(agent);
};

const crash = ({ world, broker }: Stage, agent: number, closes: boolean): void => {
  world.crash(agent, closes);
  broker.ended(agent);
};

/** A box is killed, loses power, or freezes for as long as the fault lasts; sometimes two of them at different switches. */
function gone(stage: Stage, taken: Set<string>): Fault {
  const { world, truth, random } = stage;
  const agents = Array.from({ length: random.chance(0.8) ? 1 : 2 }, () => pick(stage, taken));
  const how = (['killed', 'without power', 'frozen'] as const)[random.below(3)]!;
  return {
    kind: 'gone',
    text: `${agents.join(', ')} ${how}`,
    lastsMs: 3_400,
    begin(episodeMs) {
      const ms = episodeMs + 500;
      for (const agent of agents) {
        if (how === 'frozen') {
          world.pause(agent, ms);
          world.at(world.now + ms, () => truth.stalled(agent, ms));
        } else crash(stage, agent, how === 'killed');
      }
    },
    heal() {
      if (how !== 'frozen') for (const agent of agents) restart(stage, agent);
    },
  };
}

/** A switch fails: its boxes lose power, or are cut from all others (and from each other, or not); or some of them die. */
function segment(stage: Stage, taken: Set<string>): Fault {
  const { world, broker, random } = stage;
  const place = switchOf(pick(stage, taken));
  const members = membersOf(stage, place);
  const others = world.boxes.map((box) => box.index).filter((agent) => !members.includes(agent));
  const how = (['power', 'uplink of the switch', 'switch', 'some boxes'] as const)[random.below(4)]!;
  const hit = how === 'some boxes' ? random.shuffle([...members]).slice(0, 2 + random.below(perSwitch - 1)) : members;
  const cutsBroker = random.chance(0.5);
  return {
    kind: 'segment',
    text: `${place}: ${how}${how === 'some boxes' ? ` ${hit.join(', ')}` : ''}`,
    lastsMs: 3_400,
    begin() {
      if (how === 'power' || how === 'some boxes') for (const agent of hit) crash(stage, agent, false);
      else {
        world.partition(members, others, true);
        if (how === 'switch') for (const agent of members) isolate(world, agent, members, true);
        if (cutsBroker) for (const agent of members) broker.cut(agent, true);
      }
    },
    heal() {
      if (how === 'power' || how === 'some boxes') for (const agent of hit) restart(stage, agent);
      else {
        world.partition(members, others, false);
        if (how === 'switch') for (const agent of members) isolate(world, agent, members, false);
        if (cutsBroker) broker.healLines(members);
      }
    },
  };
}

function isolate(world: World, agent: number, from: readonly number[], on: boolean, oneWay?: 'deaf' | 'mute'): void {
  const rest = from.filter((other) => other !== agent);
  if (oneWay === 'deaf') world.partition(rest, [agent], on, true);
  else world.partition([agent], rest, on, oneWay === 'mute');
}

/** The path between two boxes fails, in one direction or both. */
function link(stage: Stage, taken: Set<string>): Fault {
  const { world, random } = stage;
  const a = pick(stage, taken);
  const b = pick(stage, taken);
  const oneWay = random.chance(0.5);
  return {
    kind: 'link',
    text: `${a} ${oneWay ? '→' : '↔'} ${b}`,
    lastsMs: random.between(5_000, 13_000),
    begin: () => world.partition([a], [b], true, oneWay),
    heal: () => world.partition([a], [b], false),
  };
}

/** The coordinator leaves, the broker closes or falls silent, or most boxes lose their line to it. */
function coordinator(stage: Stage): Fault {
  const { world, broker, random } = stage;
  const how = (['closed', 'silent', 'coordinator-away', 'lines'] as const)[random.below(4)]!;
  const share = random.between(0.6, 1);
  const agents = random.shuffle(world.boxes.map((box) => box.index)).slice(0, Math.ceil(share * world.boxes.length));
  const silent = random.chance(0.5);
  return {
    kind: 'coordinator',
    text: how === 'lines' ? `${agents.length} lines ${silent ? 'fall silent' : 'close'}` : `broker ${how}`,
    lastsMs: how === 'silent' || (how === 'lines' && silent) ? 10_000 : 3_400,
    begin() {
      if (how === 'lines') for (const agent of agents) broker.cut(agent, silent);
      else broker.turn(how);
    },
    heal: () => broker.heal(),
  };
}

/** One to a few boxes lose their line to the broker. */
function uplink(stage: Stage, taken: Set<string>): Fault {
  const { world, broker, random } = stage;
  const agents = Array.from({ length: 1 + random.below(Math.max(1, Math.floor(world.boxes.length / 12))) }, () =>
    pick(stage, taken),
  );
  const silent = random.chance(0.3);
  return {
    kind: 'my-uplink',
    text: `lines of ${agents.join(', ')} ${silent ? 'fall silent' : 'close'}`,
    lastsMs: silent ? 18_500 : 3_400,
    begin() {
      for (const agent of agents) broker.cut(agent, silent);
    },
    heal: () => broker.healLines(agents),
  };
}

/** An event loop that stalls again and again, but answers in between. */
function slow(stage: Stage, taken: Set<string>): Fault {
  const { world, truth, random } = stage;
  const agent = pick(stage, taken);
  const stallMs = random.between(220, 380);
  const gapMs = random.between(350, 700);
  let on = false;
  return {
    kind: 'i-am-slow',
    text: `${agent} stalls ${Math.round(stallMs)} ms every ${Math.round(stallMs + gapMs)} ms`,
    lastsMs: 4_500,
    begin() {
      on = true;
      const stall = (): void => {
        if (!on) return;
        world.pause(agent, stallMs);
        world.at(world.now + stallMs, () => truth.stalled(agent, stallMs));
        world.at(world.now + stallMs + gapMs, stall);
      };
      stall();
    },
    heal() {
      on = false;
    },
  };
}

/** A box loses its cable: both ways, or it only sends, or it only hears. */
function cut(stage: Stage, taken: Set<string>): Fault {
  const { world, broker, random } = stage;
  const agent = pick(stage, taken);
  const all = world.boxes.map((box) => box.index);
  const how = ([undefined, undefined, 'deaf', 'mute'] as const)[random.below(4)];
  const cutsBroker = random.chance(0.5);
  return {
    kind: 'i-am-cut',
    text: `${agent} ${how ?? 'cut off'}${cutsBroker ? ', its line to the broker too' : ''}`,
    lastsMs: 3_400,
    begin() {
      isolate(world, agent, all, true, how);
      if (cutsBroker) broker.cut(agent, true);
    },
    heal() {
      isolate(world, agent, all, false, how);
      if (cutsBroker) broker.healLines([agent]);
    },
  };
}
