import { unreachable } from '../../agent/base/invariant.ts';
import type { NetworkOptions } from '../world/network.ts';
import type { World } from '../world/world.ts';

/** One thing that goes wrong, or right again, at a moment; concrete, so that a run can be told and replayed. */
export type FaultEvent = { readonly atMs: number } & (
  | {
      readonly kind: 'crash';
      readonly agent: number;
      /** The kernel lives on and closes the sockets (a killed process), or not (a power cut). */
      readonly closes: boolean;
    }
  | { readonly kind: 'restart'; readonly agent: number }
  | { readonly kind: 'break'; readonly agent: number }
  /** A person stops what is under way on a box, and mends its fan by hand. */
  | { readonly kind: 'stop'; readonly agent: number }
  | { readonly kind: 'pause'; readonly agent: number; readonly ms: number }
  /** Frozen together with its monotonic clock, as a virtual machine is. */
  | { readonly kind: 'suspend'; readonly agent: number; readonly ms: number }
  /** For `ms` each step of the box takes `stepMs`. */
  | { readonly kind: 'slow'; readonly agent: number; readonly ms: number; readonly stepMs: number }
  /** For `ms` its monotonic clock runs at this rate (1.01: one per cent fast). */
  | { readonly kind: 'drift'; readonly agent: number; readonly ms: number; readonly rate: number }
  /** Its wall clock is set forward, or back where negative. */
  | { readonly kind: 'wall'; readonly agent: number; readonly byMs: number }
  /** For `ms` a second process runs with the same key, from a copy of the disk. */
  | { readonly kind: 'clone'; readonly agent: number; readonly ms: number }
  | {
      readonly kind: 'disk';
      readonly agent: number;
      readonly ms: number;
      /**
       * `full`, `failing` (EIO): for `ms`. `torn`: for `ms`, what is under way at a crash may be there unsaid. `wiped`:
       * the box loses power and starts `ms` later with a new disk. `rolled-back`: `ms` later it loses power and starts
       * from a copy of now. `unsynced`: from now on syncs are a lie, `ms` later it loses power, and starts again.
       */
      readonly what: 'full' | 'failing' | 'torn' | 'wiped' | 'rolled-back' | 'unsynced';
    }
  /** The box begins anew under this version of the site file, or speaking this protocol. */
  | {
      readonly kind: 'upgrade';
      readonly agent: number;
      readonly bundle?: number | undefined;
      readonly protocol?: number | undefined;
    }
  | { readonly kind: 'broker'; readonly ms: number }
  /**
   * For `ms` a share of commands to machines times out, and lands up to `lateMs` later all the same; where machines are
   * `deaf`, only those that would change something, and they never land.
   */
  | {
      readonly kind: 'plc';
      readonly ms: number;
      readonly timeouts: number;
      readonly lateMs: number;
      readonly deaf?: boolean;
    }
  | {
      readonly kind: 'cut' | 'heal';
      readonly left: readonly number[];
      readonly right: readonly number[];
      /** Only what the left says to the right is lost; the left still hears. */
      readonly oneWay?: boolean;
    }
  /** For `ms` the two sides are cut and joined again every half `periodMs`. */
  | {
      readonly kind: 'flap';
      readonly left: readonly number[];
      readonly right: readonly number[];
      readonly periodMs: number;
      readonly ms: number;
      readonly oneWay?: boolean;
    }
  | { readonly kind: 'network'; readonly change: Partial<NetworkOptions> }
  /** A machine or sensor of a site's own file cannot be reached for `ms`. */
  | { readonly kind: 'source'; readonly thing: number; readonly ms: number }
  /** The process of a duty dies wherever it runs; its agent lives on. */
  | { readonly kind: 'service'; readonly duty: number }
);

const signs = {
  crash: '✕',
  restart: '↑',
  break: '⚙',
  stop: '■',
  pause: '❚❚',
  suspend: '❚❚',
  slow: '◔',
  drift: '◷',
  wall: '◷',
  clone: '⧉',
  disk: '▤',
  upgrade: '⇪',
  broker: '☁',
  plc: '⚡',
  cut: '✂',
  heal: '↔',
  flap: '✂',
  network: '≈',
  source: '⌁',
  service: '⚙',
} as const satisfies Record<FaultEvent['kind'], string>;

export const faultKinds: ReadonlySet<string> = new Set(Object.keys(signs));

/** One character for a timeline. */
export const signOf = ({ kind }: FaultEvent): string => signs[kind];

/** Told right before each thing that a fault does to a box, some of it later than the fault itself. */
export interface FaultHooks {
  crashing?(world: World, agent: number): void;
  starting?(world: World, agent: number): void;
  storeLost?(world: World, agent: number): void;
  /** Faults of what a site's agents look after, which the world does not know. */
  beyond?(world: World, fault: Extract<FaultEvent, { kind: 'source' | 'service' }>): void;
}

/** A box that loses power comes up again after this, unless the fault says otherwise. */
const upAgainMs = 300;

export function inject(world: World, fault: FaultEvent, hooks: FaultHooks = {}): void {
  const crash = (agent: number, closes: boolean): void => {
    hooks.crashing?.(world, agent);
    world.crash(agent, closes);
  };
  const start = (agent: number): void => {
    hooks.starting?.(world, agent);
    world.start(agent);
  };
  const later = (ms: number, act: () => void): void => world.at(world.now + ms, act);
  switch (fault.kind) {
    case 'crash':
      return crash(fault.agent, fault.closes);
    case 'restart':
      return start(fault.agent);
    case 'break':
      return world.break(fault.agent);
    case 'stop':
      return world.stop(fault.agent);
    case 'pause':
      return world.pause(fault.agent, fault.ms);
    case 'suspend':
      return world.suspend(fault.agent, fault.ms);
    case 'slow':
      world.slow(fault.agent, fault.stepMs);
      return later(fault.ms, () => world.slow(fault.agent, 0));
    case 'drift':
      world.drift(fault.agent, fault.rate);
      return later(fault.ms, () => world.drift(fault.agent, 1));
    case 'wall':
      return world.jumpWall(fault.agent, fault.byMs);
    case 'clone': {
      const clone = world.startClone(fault.agent);
      return later(fault.ms, () => world.endClone(clone, true));
    }
    case 'disk': {
      const { agent, ms, what } = fault;
      const { disk } = world.boxes[agent]!;
      switch (what) {
        case 'full':
          disk.full = true;
          return later(ms, () => {
            disk.full = false;
          });
        case 'failing':
          disk.failing = true;
          return later(ms, () => {
            disk.failing = false;
          });
        case 'torn':
          disk.torn = 0.5;
          return later(ms, () => {
            disk.torn = 0;
          });
        case 'wiped':
          crash(agent, false);
          hooks.storeLost?.(world, agent);
          disk.wipe();
          return later(ms, () => start(agent));
        case 'rolled-back': {
          const image = world.imageDisk(agent);
          return later(ms, () => {
            crash(agent, false);
            hooks.storeLost?.(world, agent);
            disk.rollBack(image);
            later(upAgainMs, () => start(agent));
          });
        }
        case 'unsynced':
          disk.loseSyncs(true);
          return later(ms, () => {
            hooks.storeLost?.(world, agent);
            crash(agent, false);
            disk.loseSyncs(false);
            later(upAgainMs, () => start(agent));
          });
        default:
          return unreachable(what);
      }
    }
    case 'upgrade':
      hooks.crashing?.(world, fault.agent);
      hooks.starting?.(world, fault.agent);
      return world.upgrade(fault.agent, fault);
    case 'broker':
      world.broker('lost');
      return later(fault.ms, () => world.broker('connected'));
    case 'plc':
      world.plc = { timeouts: fault.timeouts, lateMs: fault.lateMs, deaf: fault.deaf === true };
      return later(fault.ms, () => {
        world.plc = { timeouts: 0, lateMs: 0, deaf: false };
      });
    case 'cut':
      return world.partition(fault.left, fault.right, true, fault.oneWay);
    case 'heal':
      return world.partition(fault.left, fault.right, false);
    case 'flap': {
      const { left, right, periodMs, oneWay } = fault;
      return world.flap(left, right, {
        periodMs,
        untilMs: world.now + fault.ms,
        ...(oneWay === undefined ? {} : { oneWay }),
      });
    }
    case 'network':
      return world.setNetwork({ ...world.network.options, ...fault.change });
    case 'source':
    case 'service':
      return hooks.beyond?.(world, fault);
    default:
      unreachable(fault);
  }
}

/** Whom a fault is at work on by itself, and until when; what it does to wires is judged by looking at the wires. */
export function touches(fault: FaultEvent): { readonly agent: number | undefined; readonly untilMs: number } {
  switch (fault.kind) {
    case 'pause':
    case 'suspend':
    case 'slow':
    case 'drift':
    case 'clone':
      return { agent: fault.agent, untilMs: fault.atMs + fault.ms };
    case 'disk':
      return { agent: fault.agent, untilMs: fault.atMs + fault.ms + upAgainMs };
    case 'wall':
      return { agent: fault.agent, untilMs: fault.atMs };
    case 'upgrade':
      return { agent: fault.agent, untilMs: fault.atMs + upAgainMs };
    case 'broker':
    case 'plc':
    case 'flap':
    case 'source':
      return { agent: undefined, untilMs: fault.atMs + fault.ms };
    case 'crash':
    case 'restart':
    case 'break':
    case 'stop':
    case 'cut':
    case 'heal':
    case 'network':
    case 'service':
      return { agent: undefined, untilMs: fault.atMs };
    default:
      return unreachable(fault);
  }
}

/**
 * Faults that mean something only together: a cut with its healing, a change of the network with the change back. What
 * removes one of them removes both, or a run would be blamed for a wound that nobody dressed.
 */
export function episodes(faults: readonly FaultEvent[]): readonly (readonly FaultEvent[])[] {
  const found: FaultEvent[][] = [];
  const open = new Map<string, FaultEvent[]>();
  for (const fault of faults) {
    const key = bond(fault);
    const begun = key === undefined ? undefined : open.get(key);
    if (begun) {
      begun.push(fault);
      if (fault.kind === 'heal') open.delete(key!);
      continue;
    }
    const episode = [fault];
    found.push(episode);
    if (key !== undefined && fault.kind !== 'heal') open.set(key, episode);
  }
  return found;
}

const bond = (fault: FaultEvent): string | undefined => {
  switch (fault.kind) {
    case 'cut':
    case 'heal':
      return `${fault.left.join()}|${fault.right.join()}`;
    case 'network':
      return 'network';
    // A site of which half speaks another protocol stays two sites.
    case 'upgrade':
      return 'upgrade';
    default:
      return undefined;
  }
};

/** All boxes that a fault names. */
export function named(fault: FaultEvent): readonly number[] {
  if ('agent' in fault) return [fault.agent];
  return 'left' in fault ? [...fault.left, ...fault.right] : [];
}

const seconds = (ms: number): string =>
  ms < 1_000
    ? `${Math.round(ms)} ms`
    : ms < 120_000
      ? `${Math.round(ms / 100) / 10} s`
      : `${Math.round(ms / 60_000)} min`;

/** For people: `20.000 s  box 3 is killed`. */
export const describeFault = (fault: FaultEvent): string => `${(fault.atMs / 1000).toFixed(3)} s  ${inWords(fault)}`;

/** How a site calls what faults name by number. */
export interface Names {
  readonly agent?: (agent: number) => string;
  readonly thing?: (thing: number) => string;
  readonly duty?: (duty: number) => string;
}

/** What happens, without when; boxes by their numbers, or as `nameOf` calls them. */
export function inWords(fault: FaultEvent, names?: Names): string {
  const nameOf = names?.agent ?? ((agent: number) => `box ${agent}`);
  const box = 'agent' in fault ? nameOf(fault.agent) : '';
  switch (fault.kind) {
    case 'crash':
      return `${box} ${fault.closes ? 'is killed' : 'loses power'}`;
    case 'restart':
      return `${box} starts again`;
    case 'break':
      return `the fan of ${box} stalls`;
    case 'stop':
      return `a person stops the repair of ${box} and mends it by hand`;
    case 'pause':
      return `${box} freezes for ${seconds(fault.ms)}`;
    case 'suspend':
      return `${box} is suspended with its clock for ${seconds(fault.ms)}`;
    case 'slow':
      return `${box} needs ${seconds(fault.stepMs)} per step for ${seconds(fault.ms)}`;
    case 'drift':
      return `the clock of ${box} runs ${((fault.rate - 1) * 100).toFixed(2)} % off for ${seconds(fault.ms)}`;
    case 'wall':
      return `the wall clock of ${box} jumps ${fault.byMs < 0 ? 'back' : 'forward'} by ${seconds(Math.abs(fault.byMs))}`;
    case 'clone':
      return `a clone of ${box} runs beside it for ${seconds(fault.ms)}`;
    case 'disk':
      return `${diskWords[fault.what](box, seconds(fault.ms))}`;
    case 'upgrade': {
      const words = [
        ...(fault.bundle === undefined ? [] : [`under version ${fault.bundle} of the site file`]),
        ...(fault.protocol === undefined ? [] : [`speaking protocol ${fault.protocol}`]),
      ];
      return `${box} begins anew ${words.join(', ')}`;
    }
    case 'broker':
      return `the broker is gone for ${seconds(fault.ms)}`;
    case 'plc':
      return `for ${seconds(fault.ms)} ${Math.round(fault.timeouts * 100)} % of the commands to machines time out${fault.deaf ? ' and never happen' : ''}`;
    case 'cut':
    case 'heal': {
      const { left, right } = fault;
      const isCut = fault.kind === 'cut';
      if (left.length === right.length && left.length > 1 && left.every((agent, n) => agent === right[n]))
        return isCut ? 'nobody reaches anybody' : 'all reach each other again';
      if (left.length === 1 && right.length > 1) {
        const others = `${right.length} others`;
        if (!isCut) return `${nameOf(left[0]!)} reaches ${others} again`;
        return fault.oneWay
          ? `${others} no longer hear ${nameOf(left[0]!)}`
          : `${nameOf(left[0]!)} is cut off from ${others}`;
      }
      const isPair = left.length === 1;
      const who = isPair ? `${nameOf(left[0]!)} and ${nameOf(right[0]!)}` : `${left.length} and ${right.length} boxes`;
      if (!isCut) return `${who} are joined again`;
      if (fault.oneWay) return `${who} are cut in one direction`;
      return isPair ? `${who} no longer reach each other` : `${who} are cut apart`;
    }
    case 'flap':
      return `${fault.left.length} and ${fault.right.length} boxes are cut and joined every ${seconds(fault.periodMs / 2)} for ${seconds(fault.ms)}`;
    case 'network':
      return `the network changes: ${networkWords(fault.change)}`;
    case 'source':
      return `${names?.thing?.(fault.thing) ?? `thing ${fault.thing}`} cannot be reached for ${seconds(fault.ms)}`;
    case 'service':
      return `the process of ${names?.duty?.(fault.duty) ?? `duty ${fault.duty}`} dies`;
    default:
      return unreachable(fault);
  }
}

const diskWords: Readonly<Record<Extract<FaultEvent, { kind: 'disk' }>['what'], (box: string, ms: string) => string>> =
  {
    full: (box, ms) => `the disk of ${box} is full for ${ms}`,
    failing: (box, ms) => `every write on ${box} fails for ${ms}`,
    torn: (box, ms) => `for ${ms}, a crash of ${box} leaves half of what it was writing`,
    wiped: (box, ms) => `${box} loses its disk, and starts with a blank one after ${ms}`,
    'rolled-back': (box, ms) => `${box} is set back, in ${ms}, to a copy of its disk of now`,
    unsynced: (box, ms) => `the disk of ${box} lies about its syncs, and loses power after ${ms}`,
  };

/** What the network does wrong from now on; what is back to normal is left out. */
const networkWords = (change: Partial<NetworkOptions>): string => {
  const { burst, tail, uplink, ...plain } = change;
  const words = Object.entries(plain).flatMap(([what, value]) => {
    if (typeof value !== 'number') return [];
    if (what.endsWith('Ms')) return what === 'stallMs' ? [] : [`${what.slice(0, -2)} ${seconds(value)}`];
    return value === 0 ? [] : [`${what} ${share(value)}`];
  });
  if (burst) words.push(`bursts of ${seconds(burst.badMs)} that lose ${share(burst.loss)}`);
  if (tail) words.push(`${share(tail.share)} of messages up to ${seconds(tail.maxMs)} late`);
  if (uplink) words.push(`no more than ${Math.round(uplink.bytesPerSecond / 1000)} kB/s from each box`);
  return words.length === 0 ? 'as before' : words.join(', ');
};
const share = (part: number): string => `${Number((part * 100).toFixed(2))} %`;
