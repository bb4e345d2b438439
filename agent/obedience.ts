import type { MaintenanceOrders } from './adapters/maintenance-orders.ts';
import { err, ok, type Result } from './base/result.ts';
import { after, type Instant, never } from './base/time.ts';
import type { AgentCore } from './core/agent-core.ts';
import type { Input } from './core/input.ts';
import type { OrderedAct } from './wire/order.ts';

/** What a person may have an agent do, by whatever door it came in. The error says why it cannot be done here. */
export type Obey = (what: OrderedAct, by: string, order?: string) => Result<undefined, string>;

type Deliver = (input: Input) => void;

interface Clocks {
  now(): Instant;
  /** Milliseconds since 1970. */
  wall(): number;
}

export const obedience =
  (core: AgentCore, deliver: Deliver, clocks: Clocks, work: MaintenanceOrders): Obey =>
  (what, by, order = '') => {
    switch (what.verb) {
      case 'drain':
        deliver({ kind: 'drain-ordered', until: what.forMs === null ? never : after(clocks.now(), what.forMs) });
        return ok(undefined);
      case 'undrain':
        deliver({ kind: 'drain-ordered', until: undefined });
        return ok(undefined);
      case 'workflow': {
        const spec = core.plan.workflows.find((workflow) => workflow.id === what.workflow);
        if (spec === undefined) return err(`this site has no workflow ${what.workflow}`);
        deliver({ kind: 'workflow-ordered', workflow: spec.index, by });
        return ok(undefined);
      }
      case 'stop':
        if (!core.remediation.runs().some((known) => known.run === what.run))
          return err(`there is no run ${what.run} here`);
        deliver({ kind: 'stop-ordered', run: what.run, by });
        return ok(undefined);
      case 'maintain':
      case 'end-maintenance': {
        const spec = core.plan.things.find(({ id }) => id === what.thing);
        if (spec === undefined) return err(`this site has no thing ${what.thing}`);
        // Records name the order beside the person; here the person is the name.
        const [person = by] = by.split(',');
        const forMs = what.verb === 'maintain' ? what.forMs : undefined;
        const why = what.verb === 'maintain' ? what.why : '';
        const since = clocks.wall();
        // On the disk before it holds: a box that starts anew must not start a machine under somebody's hands.
        try {
          if (forMs === undefined) work.forget(what.thing);
          else work.keep({ thing: what.thing, since, until: since + forMs, by: person, why, order });
        } catch (error) {
          return err(`it could not be written down, so it does not hold: ${String(error)}`);
        }
        const until = forMs === undefined ? undefined : after(clocks.now(), forMs);
        deliver({ kind: 'maintenance-ordered', thing: spec.index, until, by: person, why, order });
        return ok(undefined);
      }
    }
  };

/** Maintenance that was ordered in an earlier life goes on for what is left of it; of things that are gone it is over. */
export function takeUpMaintenance(
  core: AgentCore,
  deliver: Deliver,
  { now, wall }: Clocks,
  work: MaintenanceOrders,
): void {
  for (const { thing, leftMs, by, why, order } of work.standing(wall())) {
    const spec = core.plan.things.find(({ id }) => id === thing);
    if (spec === undefined) work.forget(thing);
    else {
      const until = after(now(), leftMs);
      deliver({ kind: 'maintenance-ordered', thing: spec.index, until, by, why, order, again: true });
    }
  }
}
