import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import type { Exclusive } from '../../agent/core/exclusive.ts';
import { type PermitOutput, Permits } from '../../agent/core/permits.ts';
import type { FaultEvent } from '../faults/fault.ts';
import type { Violation } from '../invariants/invariants.ts';
import { optionsOf, playScenario } from '../run.ts';
import type { Core } from '../world/world.ts';

/** Each safeguard of the permits taken out in turn, outside the shipped code. */
export interface PermitMutant {
  readonly plant: (parts: AgentCoreOptions) => Core;
  readonly trial: (seed: number, plant: PermitMutant['plant'] | undefined) => readonly Violation[];
}

type Writable = { -readonly [K in 'permits' | 'permitDenial']: Exclusive[K] };

/** The agent as it ships, with something of its permits put in another's place. */
const planted =
  (plant: (exclusive: Writable, parts: AgentCoreOptions) => void): PermitMutant['plant'] =>
  (parts) => {
    const core = new AgentCore(parts);
    plant(core.exclusive as Writable, parts);
    return core;
  };

class ReleasesInDoubt extends Permits {
  override sync(
    now: Parameters<Permits['sync']>[0],
    needs: Parameters<Permits['sync']>[1],
    _inDoubt: (run: string) => boolean,
    out: PermitOutput[],
  ): void {
    super.sync(now, needs, () => false, out);
  }
}

/** One repair at a time, a fate of its own for each death of that story, and machines that answer late more often than not. */
const insteadOfDeath =
  (fate: (atMs: number, agent: number, others: readonly number[]) => readonly FaultEvent[]): PermitMutant['trial'] =>
  (seed, plant) => {
    const run = { scenario: 'permit-holder-dies', agents: 5, seed, durationS: 150 };
    const options = optionsOf(run);
    const faults = options.faults.flatMap((fault): readonly FaultEvent[] => {
      if (fault.kind === 'restart') return [];
      if (fault.kind === 'plc') return [{ ...fault, timeouts: 0.7 }];
      if (fault.kind !== 'crash') return [fault];
      return fate(
        fault.atMs,
        fault.agent,
        [0, 1, 2, 3, 4].filter((other) => other !== fault.agent),
      );
    });
    return playScenario({
      ...run,
      options: { ...options, faults: faults.toSorted((a, b) => a.atMs - b.atMs) },
      ...(plant ? { core: plant } : {}),
    }).report.violations;
  };

/** Three of four boxes die one after the other, whoever of them is at work, and so does its kernel's word. */
const died = insteadOfDeath((atMs, agent) =>
  [0, 1, 2].flatMap((n): FaultEvent[] => {
    const victim = (agent + n) % 4;
    const diesAt = atMs + 900 * n;
    return [
      { kind: 'crash', atMs: diesAt, agent: victim, closes: true },
      { kind: 'restart', atMs: diesAt + 5_000, agent: victim },
    ];
  }),
);

/** Boxes at work are cut off for longer than their permits last, with another try to come. */
const away = insteadOfDeath((atMs, agent, right) => [
  { kind: 'cut', atMs, left: [agent], right },
  { kind: 'heal', atMs: atMs + 12_000, left: [agent], right },
]);

/** A person stops what is at work, while nobody knows whether it happened. */
const stopped = insteadOfDeath((atMs, agent) => [{ kind: 'stop', atMs, agent }]);

export const permitMutants: ReadonlyMap<string, PermitMutant> = new Map<string, PermitMutant>([
  [
    'a permit does not linger',
    {
      plant: (parts) => {
        const cells = parts.plan.cells.map((cell) => ({
          ...cell,
          leases: cell.leases.map((lease) => ({ ...lease, lingerMs: 0 })),
        }));
        return new AgentCore({ ...parts, plan: { ...parts.plan, cells } });
      },
      trial: died,
    },
  ],
  [
    'nobody asks for the permit',
    {
      plant: planted((exclusive) => {
        exclusive.permitDenial = () => undefined;
      }),
      trial: died,
    },
  ],
  [
    'a permit that lapsed is believed in',
    {
      plant: planted((exclusive) => {
        exclusive.permitDenial = (_time, run) =>
          exclusive.permits.leaseOf(run) === undefined ? 'waits for the permit' : undefined;
      }),
      trial: away,
    },
  ],
  [
    'given back while an effect may still land',
    {
      plant: planted((exclusive, { plan, identity }) => {
        exclusive.permits = new ReleasesInDoubt(plan.cells, identity.self);
      }),
      trial: stopped,
    },
  ],
]);
