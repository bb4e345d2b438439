import { Random } from '../../agent/base/random.ts';
import { calm, holderOf } from './scenarios.ts';
import { LeaseWorld } from './world.ts';

export interface Takeover {
  readonly episodes: number;
  /** Episodes in which nobody took over within 15 s. */
  readonly missed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/**
 * From the loss of the holder to the moment when somebody else may act, in global time. `box`: power lost, nobody says
 * so. `agent`: killed, and its supervisor certifies the death.
 */
export function measureTakeover(
  how: 'box' | 'agent',
  options: TakeoverOptions & { readonly episodes: number },
): Takeover {
  const found = takeovers(how, { ...options, from: 1, to: options.episodes });
  found.sort((a, b) => a - b);
  const at = (share: number) => found[Math.min(found.length - 1, Math.floor(found.length * share))] ?? Number.NaN;
  return {
    episodes: options.episodes,
    missed: options.episodes - found.length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: at(1),
  };
}

export interface TakeoverOptions {
  readonly voters?: number;
  readonly loss?: number;
  readonly leaseMs?: number;
}

/** One episode per seed `from` … `to`; in milliseconds, those that nobody took over within 15 s left out. */
export function takeovers(
  how: 'box' | 'agent',
  options: TakeoverOptions & { readonly from: number; readonly to: number },
): number[] {
  const found: number[] = [];
  for (let seed = options.from; seed <= options.to; seed++) {
    const random = new Random(seed, 'takeover');
    const voters = options.voters ?? 5;
    const agents = voters + 2;
    const world = new LeaseWorld(
      seed,
      {
        ...calm,
        agents,
        voters,
        leaseMs: options.leaseMs ?? calm.leaseMs,
        driftRate: Array.from({ length: agents }, () => random.between(-0.001, 0.001)),
        latencyMs: 0.5,
        jitterMs: 0.3,
        diskMs: 4,
        loss: options.loss ?? 0,
        faultPhaseMs: 25_000,
      },
      {},
    );
    const strikeAt = random.between(6000, 8000);
    world.at(strikeAt, () => {
      const holder = holderOf(world);
      if (!holder) return;
      if (how === 'box') world.powerOff(holder, 60_000);
      else world.killAgent(holder, 5000);
      const look = (): void => {
        if (holderOf(world)) found.push(world.now - strikeAt);
        else if (world.now < strikeAt + 15_000) world.at(world.now + 1, look);
      };
      look();
    });
    world.run();
  }
  return found;
}
