import type { AgentId, AgentIndex, BootId, CheckIndex, SignalIndex, ThingIndex } from '../base/ids.ts';
import type { DutySpec } from './duties/duty.ts';
import type { DutyOptions } from './duties/options.ts';
import type { CheckSpec } from './health/check.ts';
import type { ConditionSpec } from './health/condition.ts';
import type { ModelSpec } from './health/model.ts';
import type { SignalSpec } from './health/signal.ts';
import type { CellPlan } from './leases/cell-plan.ts';
import type { MembershipOptions } from './membership/options.ts';
import type { WorkflowSpec } from './remediation/workflow.ts';
import type { AlarmSpec } from './reporting/alarm.ts';

/**
 * A site file, compiled: names are indices, units are converted, defaults are filled in, every reference is known to
 * exist. It is a pure function of the site file, so that all agents of a site number things alike; `version` and
 * `hash` travel in every hello, and agents with another plan do not exchange indices.
 */
export interface SitePlan {
  readonly site: string;
  readonly version: number;
  /** sha256 over the canonical plan, hex. */
  readonly hash: string;
  readonly agents: readonly AgentSpec[];
  readonly cells: readonly CellPlan[];
  readonly things: readonly ThingSpec[];
  readonly signals: readonly SignalSpec[];
  readonly checks: readonly CheckSpec[];
  readonly models: readonly ModelSpec[];
  readonly conditions: readonly ConditionSpec[];
  readonly duties: readonly DutySpec[];
  readonly workflows: readonly WorkflowSpec[];
  readonly alarms: readonly AlarmSpec[];
  readonly membership: MembershipOptions;
  readonly dutyOptions: DutyOptions;
  readonly maintenance?: readonly MaintenanceSpec[];
}

export interface AgentSpec {
  readonly index: AgentIndex;
  readonly id: AgentId;
  readonly thing: ThingIndex;
  readonly cell: string;
  readonly labels: ReadonlyMap<string, string>;
  /** A witness votes and never carries a duty. */
  readonly role: 'agent' | 'witness';
  /** Duties that it may carry at most, absolute; undefined: no limit. */
  readonly capacity: number | undefined;
}

const cells = new WeakMap<readonly AgentSpec[], ReadonlyMap<string, readonly AgentIndex[]>>();

/** All agents of the cell that this one belongs to, itself included, by rising number: one list for all who share a plan. */
export function cellMembers({ agents }: Pick<SitePlan, 'agents'>, of: AgentIndex): readonly AgentIndex[] {
  let known = cells.get(agents);
  if (known === undefined) {
    const lists = new Map<string, AgentIndex[]>();
    for (const { index, cell } of agents) {
      const list = lists.get(cell);
      if (list === undefined) lists.set(cell, [index]);
      else list.push(index);
    }
    cells.set(agents, (known = lists));
  }
  return known.get(agents[of]?.cell ?? '') ?? [];
}

export interface ThingSpec {
  readonly index: ThingIndex;
  readonly id: string;
  readonly about: string;
  readonly agent: AgentIndex | undefined;
  /** Reserved signals, where the thing has them. */
  readonly state: SignalIndex | undefined;
  readonly lockout: SignalIndex | undefined;
  /** Things that must be up for this one to be seen or to work: `needs`, and its source. */
  readonly needs?: readonly ThingIndex[] | undefined;
  /** Its reserved check `up`: critical means that the thing is down. */
  readonly up?: CheckIndex | undefined;
}

/** Planned work on things: their alarms are held back, visibly, and nobody acts on them. */
export interface MaintenanceSpec {
  readonly id: string;
  readonly things: readonly ThingIndex[];
  /** `sun 06:00-10:00`, in the site's zone. */
  readonly at: string;
  readonly why: string;
}

/** Who we are in this life. `bootCounter` is persisted and rises with every start of this agent's store. */
export interface Identity {
  readonly self: AgentIndex;
  readonly boot: BootId;
  readonly bootCounter: number;
}
