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
    case 'cut':
    case 'heal':
      return `${at}  ${fault.left.length} and ${fault.right.length} boxes are ${fault.kind === 'cut' ? 'cut apart' : 'joined again'}${
        fault.oneWay ? ', in one direction' : ''
      }`;
    case 'network':
      return `${at}  the network changes: ${JSON.stringify(fault.change)}`;
    default:
      return unreachable(fault);
  }
}
