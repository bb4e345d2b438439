import type { AgentIndex } from '../../base/ids.ts';
import { didYouMean } from '../../base/nearest.ts';
import type { CellLease } from '../../core/leases/cell-plan.ts';
import type { AgentSpec } from '../../core/site-plan.ts';
import type { Entry } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { SiteContext } from './context.ts';

/** Permits of the cells as leases, a slot each; whoever may run a workflow that asks for one may hold it. */
export function addPermits(site: SiteContext): void {
  const { model, findings, agents, cellNames, leases, workflows, entriesOf, whoRuns } = site;
  const cells = model.shape.cells ?? {};
  const slots = new Map<string, { readonly eligible: Set<AgentIndex>; lingerMs: number }>();
  for (const [i, entry] of entriesOf('workflows').entries()) {
    const wanted = entry.value.permit;
    if (wanted === undefined || isPlaceholder(wanted)) continue;
    const workflow = workflows[i]!;
    const who = whoRuns(workflow.runsOn, entry.thing);
    const cell = cellOfWork(
      agents,
      saidCell(entry) ?? entry.thing.cell ?? (cellNames.length === 1 ? cellNames[0] : undefined),
      who,
    );
    const known = Object.keys(cells[cell ?? '']?.permits ?? {});
    if (cell === undefined) {
      findings.of(
        entry.origin,
        ['permit'],
        'reference',
        `${entry.thing.name} is in no cell, and permits belong to one`,
      );
    } else if (!known.includes(wanted)) {
      if (!cellNames.includes(cell) && cellNames.length > 0) continue;
      const near = didYouMean(wanted, known);
      findings.of(
        entry.origin,
        ['permit'],
        'reference',
        `Cell ${cell} has no permit "${wanted}"${near}`,
        near === '' ? { remedy: `say how many at once: permits: { ${wanted}: 1 }` } : {},
      );
    } else {
      const key = `${cell}/${wanted}`;
      const slot = slots.get(key) ?? { eligible: new Set(), lingerMs: 0 };
      for (const agent of who) slot.eligible.add(agent);
      for (const step of workflow.steps) {
        slot.lingerMs = Math.max(slot.lingerMs, step.timeoutMs + step.landsWithinMs);
      }
      slots.set(key, slot);
      workflows[i] = { ...workflow, permit: { cell: cellNames.indexOf(cell), name: wanted } };
    }
  }
  for (const cell of cellNames) {
    for (const [permit, count] of Object.entries(cells[cell]?.permits ?? {})) {
      const slot = slots.get(`${cell}/${permit}`);
      if (slot === undefined) {
        findings.at(['cells', cell, 'permits', permit], 'reference', `No workflow asks for the permit ${permit}`, {
          at: 'key',
          severity: 'warning',
        });
        continue;
      }
      const eligible = [...slot.eligible].sort((a, b) => a - b);
      for (let n = 1; n <= count; n++) {
        addLease(leases, cell, {
          id: `guard:${cell}/${permit}/slot-${n}`,
          of: { kind: 'permit', permit, slot: n },
          eligible,
          lingerMs: slot.lingerMs,
        });
      }
    }
  }
}

/** The cell that an entry says for itself. */
export function saidCell(entry: Entry | undefined): string | undefined {
  if (entry?.kind === 'duties') return (entry as Entry<'duties'>).value.cell;
  return entry?.kind === 'workflows' ? (entry as Entry<'workflows'>).value.cell : undefined;
}

/** Where the voters stand that decide: the cell that is said, or the one in which all live who may do it. */
export function cellOfWork(
  agents: readonly AgentSpec[],
  said: string | undefined,
  who: readonly AgentIndex[],
): string | undefined {
  if (said !== undefined) return said;
  const homes = new Set(who.map((agent) => agents[agent]!.cell));
  return homes.size === 1 ? [...homes][0] : undefined;
}

export function addLease(leases: Map<string, CellLease[]>, cell: string, lease: CellLease): void {
  leases.set(cell, [...(leases.get(cell) ?? []), lease]);
}
