import { err, ok, type Result } from './base/result.ts';
import { after, type Instant, never } from './base/time.ts';
import type { AgentCore } from './core/agent-core.ts';
import type { Input } from './core/input.ts';
import type { OrderedAct } from './wire/order.ts';

/** What a person may have an agent do, by whatever door it came in. The error says why it cannot be done here. */
export type Obey = (what: OrderedAct, by: string) => Result<undefined, string>;

export const obedience =
  (core: AgentCore, deliver: (input: Input) => void, now: () => Instant): Obey =>
  (what, by) => {
    switch (what.verb) {
      case 'drain':
        deliver({ kind: 'drain-ordered', until: what.forMs === null ? never : after(now(), what.forMs) });
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
    }
  };
