import { agentId, entryId } from '../../agent/base/ids.ts';
import type { Random } from '../../agent/base/random.ts';
import type { DutySpec } from '../../agent/core/duties/duty.ts';
import { type DutyOptions, dutyDefaults } from '../../agent/core/duties/options.ts';
import type { CheckSpec } from '../../agent/core/health/check.ts';
import type { ConditionSpec } from '../../agent/core/health/condition.ts';
import type { CellLease, CellPlan } from '../../agent/core/leases/cell-plan.ts';
import { leaseDefaults } from '../../agent/core/leases/options.ts';
import { lan, type MembershipOptions } from '../../agent/core/membership/options.ts';
import type { WorkflowSpec } from '../../agent/core/remediation/workflow.ts';
import type { SitePlan } from '../../agent/core/site-plan.ts';

/** Agents of one cell; gossip stays within it, and so do the candidates of a duty. */
const cellSize = 50;

/**
 * A site made up from a seed: agents in cells, and duties that each a handful of them may carry, as boxes beside the
 * same machine would.
 */
export function sitePlan(parts: {
  agents: number;
  duties: number;
  /** Boxes (the first ones) with a fan that may stall, a check that sees it, and a workflow that mends it. */
  repairs?: number;
  /** So many of those workflows may be at work at once, by permit; undefined: as many as there are. */
  permits?: number;
  /** So many duties (the first ones) are exclusive. */
  exclusive?: number;
  /** So many vote in each cell with one of them: 1, 3 or 5, and three where nobody says; fewer where it is smaller. */
  voters?: 1 | 3 | 5;
  random: Random;
  membership?: Partial<MembershipOptions>;
  dutyOptions?: Partial<DutyOptions>;
}): SitePlan {
  const { agents, random } = parts;
  const repairs = Math.min(agents, parts.repairs ?? 0);
  const duties: DutySpec[] = Array.from({ length: parts.duties }, (_, index) => {
    const cell = Math.floor(random.below(agents) / cellSize);
    const members = Array.from(
      { length: Math.min(cellSize, agents - cell * cellSize) },
      (__, i) => cell * cellSize + i,
    );
    const eligible = random
      .shuffle(members)
      .slice(0, agents <= 5 ? agents : 4 + random.below(5))
      .sort((a, b) => a - b);
    return {
      index,
      id: entryId(`asset-${index}/watch`),
      thing: undefined,
      work: { kind: 'watch', thing: 0 },
      eligible,
      exclusive: index < (parts.exclusive ?? 0),
      critical: false,
      refusedBecause: new Map(),
      weight: new Map(eligible.map((agent) => [agent, random.chance(0.8) ? 1 : 2])),
    };
  });
  return {
    site: 'simulated',
    version: 1,
    hash: 'simulated',
    agents: Array.from({ length: agents }, (_, index) => ({
      index,
      id: agentId(`box-${String(index).padStart(4, '0')}`),
      thing: index,
      cell: `cell-${Math.floor(index / cellSize)}`,
      labels: new Map(),
      role: 'agent' as const,
      capacity: undefined,
    })),
    things: Array.from({ length: agents }, (_, index) => ({
      index,
      id: `box-${String(index).padStart(4, '0')}`,
      about: 'a simulated box',
      agent: index,
      state: undefined,
      lockout: undefined,
    })),
    cells: cellPlans(agents, duties, parts.voters ?? 3, permitLeases(parts.permits ?? 0, repairs)),
    signals: [],
    checks: Array.from({ length: repairs }, (_, box) => fanCheck(box)),
    models: [],
    conditions: Array.from({ length: repairs }, (_, box) => fanConditions(box)).flat(),
    duties,
    workflows: Array.from({ length: repairs }, (_, box) => fanWorkflow(box, (parts.permits ?? 0) > 0)),
    alarms: [],
    membership: { ...lan, ...parts.membership },
    dutyOptions: { ...dutyDefaults, ...parts.dutyOptions },
  };
}

/** The boxes with something to repair are the first ones, all of the first cell. */
const permitLeases = (slots: number, repairs: number): CellLease[] =>
  Array.from({ length: slots }, (_, n) => ({
    id: `guard:cell-0/${permitName}/slot-${n + 1}`,
    of: { kind: 'permit', permit: permitName, slot: n + 1 },
    eligible: Array.from({ length: repairs }, (__, box) => box),
    lingerMs: stepTimeoutMs + permittedLandsWithinMs,
  }));

function cellPlans(
  agents: number,
  duties: readonly DutySpec[],
  wanted: number,
  permits: readonly CellLease[],
): CellPlan[] {
  if (permits.length === 0 && !duties.some(({ exclusive }) => exclusive)) return [];
  return Array.from({ length: Math.ceil(agents / cellSize) }, (_, index) => {
    const members = Array.from(
      { length: Math.min(cellSize, agents - index * cellSize) },
      (__, i) => index * cellSize + i,
    );
    const held = duties.flatMap(({ index: duty, id, exclusive, eligible }): CellLease[] =>
      exclusive && cellOf(eligible[0]!) === index
        ? [{ id: `duty:${id}`, of: { kind: 'duty', duty }, eligible, lingerMs: 0 }]
        : [],
    );
    const leases = index === 0 ? [...held, ...permits] : held;
    // Two agents have one voter, four have three: an even one more is one more to lose.
    const most = Math.min(wanted, members.length - ((members.length + 1) % 2));
    const voters = leases.length === 0 ? [] : members.slice(0, most);
    return { index, id: `cell-${index}`, members, voters, epoch: 1, options: leaseDefaults, leases };
  });
}

const boxName = (box: number): string => `box-${String(box).padStart(4, '0')}`;

const fanCheck = (box: number): CheckSpec => ({
  index: box,
  id: entryId(`${boxName(box)}/fan`),
  thing: box,
  runsOn: { on: 'agent', agent: box },
  everyMs: 1_000,
  timeoutMs: 500,
  source: { kind: 'probe', probe: undefined },
  warn: undefined,
  crit: undefined,
  warnWhen: undefined,
  critWhen: undefined,
  deadband: 0,
  raise: { kind: 'count', n: 2 },
  clear: { kind: 'count', n: 2 },
  onlyIn: [],
  graceMs: 0,
});

const fanConditions = (box: number): ConditionSpec[] => [
  {
    index: 2 * box,
    id: entryId(`${boxName(box)}/restart-fan when`),
    source: 'crit("fan")',
    expression: { op: 'check', is: 'crit', check: box },
  },
  {
    index: 2 * box + 1,
    id: entryId(`${boxName(box)}/restart-fan verify`),
    source: 'ok("fan")',
    expression: { op: 'check', is: 'ok', check: box },
  },
];

const permitName = 'repairing';
const stepTimeoutMs = 2_000;
/** What a machine may do so long after a time-out, no linger may be shorter than; see `World.plc`. */
const permittedLandsWithinMs = 2_000;

const fanWorkflow = (box: number, byPermit: boolean): WorkflowSpec => ({
  index: box,
  id: entryId(`${boxName(box)}/restart-fan`),
  thing: box,
  runsOn: { on: 'agent', agent: box },
  when: 2 * box,
  at: undefined,
  onlyIf: undefined,
  onlyIn: [],
  lockout: undefined,
  budget: { count: 100, perMs: 3_600_000 },
  cooldownMs: 1_000,
  permit: byPermit ? { cell: 0, name: permitName } : undefined,
  guardWaitMs: 10_000,
  steps: [
    {
      name: 'note the state',
      action: { kind: 'command.run', argv: ['fan', 'state'] },
      timeoutMs: 2_000,
      retry: { times: 1, backoffMs: 500 },
      doubt: 'idempotent',
      landsWithinMs: 500,
      fixing: false,
    },
    {
      name: 'restart the fan',
      action: { kind: 'command.run', argv: ['fan', 'restart'] },
      timeoutMs: stepTimeoutMs,
      retry: { times: 3, backoffMs: 500 },
      doubt: box % 2 === 0 ? 'idempotent' : 'probeable',
      landsWithinMs: byPermit ? permittedLandsWithinMs : 500,
      fixing: true,
    },
  ],
  verify: 2 * box + 1,
  verifyTimeoutMs: 15_000,
  soakMs: 3_000,
  quietMs: 5_000,
  ifFailed: [],
});

export const cellOf = (agent: number): number => Math.floor(agent / cellSize);
