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
  /** For `ms` the box gets one part in `factor` of its processor, in slices of 100 ms. */
  | { readonly kind: 'slow'; readonly agent: number; readonly ms: number; readonly factor: number }
  | {
      readonly kind: 'cut' | 'heal';
      readonly left: readonly number[];
      readonly right: readonly number[];
      /** Only what the left says to the right is lost; the left still hears. */
      readonly oneWay?: boolean;
    }
  | { readonly kind: 'network'; readonly change: Partial<NetworkOptions> }
);

export function inject(world: World, fault: FaultEvent): void {
  switch (fault.kind) {
    case 'crash':
      return world.crash(fault.agent, fault.closes);
    case 'restart':
      return world.start(fault.agent);
    case 'break':
      return world.break(fault.agent);
    case 'stop':
      return world.stop(fault.agent);
    case 'pause':
      return world.pause(fault.agent, fault.ms);
    case 'slow': {
      const frozenMs = sliceMs * (1 - 1 / Math.max(1, fault.factor));
      for (let ms = 0; ms < fault.ms; ms += sliceMs) {
        world.at(fault.atMs + ms, () => world.pause(fault.agent, frozenMs));
      }
      return;
    }
    case 'cut':
      return world.partition(fault.left, fault.right, true, fault.oneWay);
    case 'heal':
      return world.partition(fault.left, fault.right, false);
    case 'network':
      return world.setNetwork({ ...world.network.options, ...fault.change });
    default:
      unreachable(fault);
  }
}

const sliceMs = 100;
const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`;

/** Whom a fault is at work on by itself, and until when; cuts and the network are judged by looking at the wires. */
export function touches(fault: FaultEvent): { readonly agent: number | undefined; readonly untilMs: number } {
  switch (fault.kind) {
    case 'pause':
    case 'slow':
      return { agent: fault.agent, untilMs: fault.atMs + fault.ms };
    case 'crash':
    case 'restart':
    case 'break':
    case 'stop':
      return { agent: undefined, untilMs: fault.atMs };
    case 'cut':
    case 'heal':
    case 'network':
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
    default:
      return undefined;
  }
};

/** All boxes that a fault names. */
export function named(fault: FaultEvent): readonly number[] {
  if ('agent' in fault) return [fault.agent];
  return 'left' in fault ? [...fault.left, ...fault.right] : [];
}

/** For people: `20.000 s  box-0003 is killed`. */
export function describeFault(fault: FaultEvent): string {
  const at = `${(fault.atMs / 1000).toFixed(3)} s`;
  switch (fault.kind) {
    case 'crash':
      return `${at}  box ${fault.agent} ${fault.closes ? 'is killed' : 'loses power'}`;
    case 'restart':
      return `${at}  box ${fault.agent} starts again`;
    case 'break':
      return `${at}  the fan of box ${fault.agent} stalls`;
    case 'stop':
      return `${at}  a person stops the repair of box ${fault.agent} and mends it by hand`;
    case 'pause':
      return `${at}  box ${fault.agent} freezes for ${Math.round(fault.ms)} ms`;
    case 'slow':
      return `${at}  box ${fault.agent} runs ${fault.factor} times slower for ${seconds(fault.ms)}`;
    case 'cut':
    case 'heal':
      if (fault.left.length === 1 && fault.right.length === 1) {
        const pair = `${fault.left[0]} and ${fault.right[0]}`;
        return `${at}  boxes ${pair} ${fault.kind === 'cut' ? 'no longer reach each other' : 'reach each other again'}`;
      }
      return `${at}  ${fault.left.length} and ${fault.right.length} boxes are ${fault.kind === 'cut' ? 'cut apart' : 'joined again'}${
        fault.oneWay ? ', in one direction' : ''
      }`;
    case 'network':
      return `${at}  the network changes: ${JSON.stringify(fault.change)}`;
    default:
      return unreachable(fault);
  }
}
