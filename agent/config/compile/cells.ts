import type { AgentIndex } from '../../base/ids.ts';
import { didYouMean } from '../../base/nearest.ts';
import type { CellLease, CellPlan } from '../../core/leases/cell-plan.ts';
import { type LeaseOptions, leaseDefaults } from '../../core/leases/options.ts';
import type { AgentSpec } from '../../core/site-plan.ts';
import type { Findings } from '../findings.ts';
import { formatDuration, parseDuration } from '../quantity.ts';
import type { SiteModel, ThingModel } from '../site-model.ts';

/** The cell of everybody when a site file names none. */
export const defaultCell = 'cell';
const shortestLeaseMs = 400;
const longestLeaseMs = 60_000;
/** Pace fast: a lost box is taken over in about a second, at the price of CPU time; more members would double it. */
const fastLeaseMs = 800;
const fastMembers = 10;

/** T as written; the other times follow from it in the proportions of the defaults. */
export function leaseOptions(leaseMs: number): LeaseOptions {
  const share = leaseMs / leaseDefaults.leaseMs;
  const scaled = (ms: number): number => Math.max(20, Math.round(ms * share));
  return {
    leaseMs,
    drift: leaseDefaults.drift,
    renewMs: scaled(leaseDefaults.renewMs),
    retryMs: scaled(leaseDefaults.retryMs),
    guardMs: scaled(leaseDefaults.guardMs),
  };
}

/**
 * The cells of a site: who lives there, who votes, on which leases. A majority of the voters decides who carries what
 * is exclusive, so who they are is a person's choice as soon as there is one to make: three or more agents. One agent
 * votes for itself; of two, one votes for both, which is said as a warning because it decides who may live alone.
 */
export function compileCells(parts: {
  readonly model: SiteModel;
  readonly agents: readonly AgentSpec[];
  /** Leases by cell, in any order. */
  readonly leases: ReadonlyMap<string, readonly CellLease[]>;
  /** Epochs that a signed bundle gives; 1 unless it says so. */
  readonly epochs: ReadonlyMap<string, number>;
  readonly findings: Findings;
}): CellPlan[] {
  const { model, agents, findings } = parts;
  const shapes = model.shape.cells ?? {};
  const names = Object.keys(shapes).length === 0 ? [defaultCell] : Object.keys(shapes);
  const index = new Map<string, AgentIndex>(agents.map((agent) => [agent.id, agent.index]));

  return names.map((name, i) => {
    const shape = shapes[name] ?? {};
    const members = agents.filter((agent) => agent.cell === name);
    const leases = [...(parts.leases.get(name) ?? [])].sort((a, b) => (a.id < b.id ? -1 : 1));
    let options = shape.pace === 'fast' ? leaseOptions(fastLeaseMs) : leaseDefaults;
    if (shape.pace === 'fast' && members.length > fastMembers) {
      findings.at(
        ['cells', name, 'pace'],
        'value',
        `Pace fast is for wired cells of at most ${fastMembers} agents, ${name} has ${members.length}: say lan`,
      );
    }
    if (shape.lease !== undefined) {
      const ms = parseDuration(shape.lease);
      if (!ms.ok) findings.at(['cells', name, 'lease'], 'value', ms.error);
      else if (ms.value < shortestLeaseMs || ms.value > longestLeaseMs) {
        findings.at(
          ['cells', name, 'lease'],
          'value',
          `A lease of ${formatDuration(ms.value)} is not between ${formatDuration(shortestLeaseMs)} and ${formatDuration(longestLeaseMs)}`,
        );
      } else options = leaseOptions(ms.value);
    }
    const voters = shape.voters === undefined ? impliedVoters(name, members, leases) : namedVoters(name, shape.voters);
    return {
      index: i,
      id: name,
      members: members.map((agent) => agent.index),
      voters,
      epoch: parts.epochs.get(name) ?? 1,
      options,
      leases,
    };
  });

  function namedVoters(cell: string, named: readonly string[]): AgentIndex[] {
    const voters: AgentIndex[] = [];
    for (const [i, name] of named.entries()) {
      const agent = index.get(name);
      if (agent === undefined) {
        findings.at(
          ['cells', cell, 'voters', i],
          'reference',
          `There is no agent "${name}"${didYouMean(name, [...index.keys()])}`,
        );
      } else if (voters.includes(agent)) {
        findings.at(['cells', cell, 'voters', i], 'voters', `${name} votes twice in ${cell}: one box, one vote`);
      } else voters.push(agent);
    }
    if (![1, 3, 5].includes(named.length)) {
      findings.at(
        ['cells', cell, 'voters'],
        'voters',
        `${cell} has ${named.length} voters: name 1, 3 or 5, so that there is a majority on one side`,
        { at: 'key' },
      );
    }
    sharedNeeds(cell, voters);
    return voters;
  }

  function impliedVoters(cell: string, members: readonly AgentSpec[], leases: readonly CellLease[]): AgentIndex[] {
    if (leases.length === 0) return [];
    const place = shapes[cell] === undefined ? ['agents'] : ['cells', cell];
    const [first, second] = members;
    if (first === undefined) {
      findings.at(place, 'voters', `${cell} has no agents, and ${workOf(leases[0]!)} needs a vote there`, {
        at: 'key',
      });
      return [];
    }
    if (members.length > 2) {
      findings.at(
        place,
        'voters',
        `${cell} has exclusive work (${workOf(leases[0]!)}) and ${members.length} agents: say whose majority decides, for example voters: [${propose(members).join(', ')}]`,
        { at: 'key' },
      );
      return [];
    }
    if (second !== undefined) {
      findings.at(
        place,
        'voters',
        `${cell} has two agents and no witness, so ${first.id} decides alone: without it, ${second.id} takes over nothing exclusive. Say voters: [${first.id}] if that is meant, or add an agent with role: witness and name all three`,
        { at: 'key', severity: 'warning' },
      );
    }
    return [first.index];
  }

  function workOf({ id, of }: CellLease): string {
    return of.kind === 'duty' ? id.replace(/^duty:/, '') : `permit ${of.permit}`;
  }

  /** Three whose power, switches and the like differ as far as the file knows. */
  function propose(members: readonly AgentSpec[]): string[] {
    const chosen: AgentSpec[] = [];
    for (const strict of [true, false]) {
      for (const agent of members) {
        if (chosen.length === 3 || chosen.includes(agent)) continue;
        const shares = chosen.some((other) => commonNeeds(thingOf(agent), thingOf(other)).length > 0);
        if (!strict || !shares) chosen.push(agent);
      }
    }
    return chosen.map((agent) => agent.id);
  }

  /** What, lost alone, silences a majority of the voters. */
  function sharedNeeds(cell: string, voters: readonly AgentIndex[]): void {
    if (voters.length < 3) return;
    const behind = new Map<string, string[]>();
    for (const voter of voters) {
      for (const need of allNeeds(thingOf(agents[voter]!))) {
        behind.set(need, [...(behind.get(need) ?? []), agents[voter]!.id]);
      }
    }
    for (const [need, names] of behind) {
      if (names.length * 2 <= voters.length) continue;
      const last = names.at(-1);
      findings.at(
        ['cells', cell, 'voters'],
        'voters',
        `Voters ${names.slice(0, -1).join(', ')} and ${last} share ${need}: one fuse can take the majority`,
        { severity: 'warning' },
      );
    }
  }

  function thingOf(agent: AgentSpec): ThingModel {
    return model.things[agent.thing]!;
  }

  function allNeeds(thing: ThingModel): ReadonlySet<string> {
    const all = new Set<string>();
    const add = (one: ThingModel): void => {
      for (const need of one.needs) {
        if (all.has(need)) continue;
        all.add(need);
        const next = model.byName.get(need);
        if (next !== undefined) add(next);
      }
    };
    add(thing);
    return all;
  }

  function commonNeeds(a: ThingModel, b: ThingModel): string[] {
    const others = allNeeds(b);
    return [...allNeeds(a)].filter((need) => others.has(need));
  }
}

/** The cell that a thing lives in; of a thing that names none, the only one. */
export function cellOf(model: SiteModel, findings: Findings, thing: ThingModel): string | undefined {
  const cellNames = Object.keys(model.shape.cells ?? {});
  if (thing.cell !== undefined) {
    if (!cellNames.includes(thing.cell) && !model.removed.has('cells')) {
      findings.at(
        [...thing.path, 'cell'],
        'reference',
        `There is no cell "${thing.cell}"${didYouMean(thing.cell, cellNames)}`,
      );
    }
    return thing.cell;
  }
  if (thing.kind === 'agent' && cellNames.length > 1) {
    findings.at(thing.path, 'missing', `${thing.name} is in no cell: it is one of ${cellNames.join(', ')}`, {
      at: 'key',
    });
  }
  return thing.kind === 'agent' ? cellNames[0] : undefined;
}
