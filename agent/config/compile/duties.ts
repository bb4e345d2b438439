import type { AgentIndex, DutyIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import { didYouMean } from '../../base/nearest.ts';
import type { DutyWork } from '../../core/duties/duty.ts';
import { compileCondition, fold } from '../condition-compiler.ts';
import type { Path } from '../site-document.ts';
import type { Entry, ThingModel } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { SiteContext } from './context.ts';
import { addLease, cellOfWork, saidCell } from './leases.ts';

/** Duties that the file names, and those that it implies: polling, watching, starting at times. */
export function compileDuties(site: SiteContext): void {
  const {
    model,
    findings,
    agents,
    agentIndex,
    cellNames,
    duties,
    dutyIds,
    pollDuty,
    watchDuty,
    scheduleDuty,
    processDuties,
    leases,
    at,
    thingNames,
    sourceOf,
    scopeOf,
  } = site;
  for (const thing of model.things) addDuties(thing);

  function addDuties(thing: ThingModel): void {
    if (thing.source !== undefined && !isPlaceholder(thing.source)) {
      const source = model.byName.get(thing.source);
      if (thing.connect !== undefined)
        findings.at(
          [...thing.path, 'source'],
          'clash',
          `${thing.name} has a connection of its own and a source: keep one`,
          { at: 'key' },
        );
      else if (source === undefined)
        findings.at(
          [...thing.path, 'source'],
          'reference',
          `There is no thing "${thing.source}"${didYouMean(thing.source, thingNames())}`,
        );
      else if (source.connect === undefined)
        findings.at([...thing.path, 'source'], 'reference', `${thing.source} has no connection (connect) to read from`);
    }
    for (const [i, agent] of (thing.via ?? []).entries()) {
      if (!agentIndex.has(agent))
        findings.at(
          [...thing.path, 'via', i],
          'reference',
          `There is no agent "${agent}"${didYouMean(agent, [...agentIndex.keys()])}`,
        );
    }
    if (thing.connect !== undefined) {
      pollDuty.set(
        thing.name,
        addDuty(`${thing.name}/poll`, thing, { kind: 'poll', source: thing.index }, eligibility(thing), thing.path, {
          exclusive: (thing.connect.modbus ?? thing.connect.opcua ?? thing.connect.s7)?.clients === 1,
        }),
      );
    }
    for (const entry of thing.body.duties.values()) {
      const value = entry.value;
      const kinds = (['process', 'upload'] as const).filter((kind) => value[kind] !== undefined);
      if (kinds.length !== 1 && !thing.broken.has(`duties/${entry.name}`)) {
        findings.of(
          entry.origin,
          [],
          'missing',
          `Duty ${entry.name} says ${kinds.length === 0 ? 'neither process nor upload' : 'both process and upload'}: one of them is its work`,
          { at: 'key' },
        );
      }
      if (entry.name === 'poll' || entry.name === 'watch') {
        findings.of(entry.origin, [], 'name', `"${entry.name}" is the name of an implied duty: choose another`, {
          at: 'key',
        });
      }
      const work: DutyWork =
        value.process !== undefined
          ? {
              kind: 'process',
              argv: value.process.map(String),
              env: new Map(Object.entries(value.env ?? {}).map(([k, v]) => [k, String(v)])),
            }
          : { kind: 'upload', file: value.upload ?? '' };
      const index = addDuty(entry.id, thing, work, eligibility(thing, entry), entry.origin.path, {
        entry,
        exclusive: value.exclusive,
        critical: value.critical ?? false,
      });
      if (work.kind === 'process') processDuties.set(thing.name, [...(processDuties.get(thing.name) ?? []), index]);
    }
    for (const entry of thing.body.workflows.values()) {
      if (entry.value.at === undefined) continue;
      if (dutyIds.has(entry.id)) {
        findings.of(
          entry.origin,
          [],
          'clash',
          `Workflow ${entry.name} runs at times and so is a duty, and a duty is called ${entry.name} too: rename one`,
          { at: 'key' },
        );
        continue;
      }
      const work: DutyWork = { kind: 'schedule', workflow: at('workflows', entry) };
      scheduleDuty.set(
        entry.id,
        addDuty(entry.id, thing, work, eligibility(thing, entry), entry.origin.path, {
          entry,
          exclusive: entry.value.exclusive ?? false,
        }),
      );
    }
    if (thing.kind === 'asset' && sourceOf(thing) === undefined && (processDuties.get(thing.name) ?? []).length !== 1) {
      const watched = [...thing.body.checks.values()].some((entry) => typeof entry.value.process !== 'string');
      if (watched)
        watchDuty.set(
          thing.name,
          addDuty(
            `${thing.name}/watch`,
            thing,
            { kind: 'watch', thing: thing.index },
            eligibility(thing),
            thing.path,
            {},
          ),
        );
    }
  }

  function eligibility(
    thing: ThingModel,
    entry?: Entry<'duties'> | Entry<'workflows'>,
  ): { eligible: AgentIndex[]; refused: Map<AgentIndex, string> } {
    const eligible: AgentIndex[] = [];
    const refused = new Map<AgentIndex, string>();
    const cell = entry?.value.cell ?? (thing.via === undefined ? thing.cell : undefined);
    if (entry?.value.cell !== undefined && !cellNames.includes(entry.value.cell) && !model.removed.has('cells')) {
      findings.of(
        entry.origin,
        ['cell'],
        'reference',
        `There is no cell "${entry.value.cell}"${didYouMean(entry.value.cell, cellNames)}`,
      );
    }
    for (const agent of agents) {
      const own = model.things[agent.thing]!;
      if (agent.role === 'witness') refused.set(agent.index, 'is a witness: it votes and carries nothing');
      else if (thing.kind === 'agent' && own !== thing) refused.set(agent.index, `belongs to ${thing.name}`);
      else if (thing.via !== undefined && !thing.via.includes(own.name))
        refused.set(agent.index, `not in via of ${thing.name}`);
      else if (thing.kind !== 'agent' && cell !== undefined && agent.cell !== cell)
        refused.set(agent.index, `not in cell ${cell}`);
      else if (entry?.kind === 'duties' && entry.value.where !== undefined) {
        const where = compileCondition(entry.value.where, scopeOf(entry, 'where', own));
        for (const problem of where.problems) {
          findings.of(entry.origin, ['where'], problem.code, problem.message, { offset: problem.offset });
        }
        if (where.expression === undefined || fold(where.expression) === true) eligible.push(agent.index);
        else refused.set(agent.index, `${entry.value.where} is false`);
      } else eligible.push(agent.index);
    }
    return { eligible, refused };
  }

  function addDuty(
    id: string,
    thing: ThingModel,
    work: DutyWork,
    who: { eligible: readonly AgentIndex[]; refused: ReadonlyMap<AgentIndex, string> },
    path: Path,
    { entry, exclusive = false, critical = false }: { entry?: Entry; exclusive?: boolean; critical?: boolean },
  ): DutyIndex {
    const index = duties.length;
    if (dutyIds.has(id)) return dutyIds.get(id)!;
    const cellKnown = (cell: string | undefined) => cell === undefined || cellNames.includes(cell);
    const wantedCell = saidCell(entry) ?? thing.cell;
    if (who.eligible.length === 0 && agents.length > 0 && cellKnown(wantedCell)) {
      const duty = entry?.kind === 'duties' ? (entry as Entry<'duties'>) : undefined;
      const cell = wantedCell;
      const label = /^\s*label\(["']([^"']+)["']\)\s*==\s*["']([^"']*)["']\s*$/.exec(duty?.value.where ?? '');
      const want =
        label !== null
          ? ` has the label ${label[1]}=${label[2]}`
          : duty?.value.where !== undefined
            ? ` fits ${duty.value.where}`
            : ` may${witnesses(who.refused)}`;
      const message = `Nobody may run ${entry?.name ?? id}: no agent${cell === undefined ? '' : ` in ${cell}`}${want}`;
      if (entry === undefined) findings.at(path, 'nobody', message, { at: 'key' });
      else findings.of(entry.origin, [], 'nobody', message, { at: 'key' });
    }
    dutyIds.set(id, index);
    duties.push({
      index,
      id: entryId(id),
      thing: thing.index,
      work,
      eligible: who.eligible,
      exclusive,
      critical,
      refusedBecause: who.refused,
      weight: new Map(),
    });
    if (exclusive && who.eligible.length > 0 && cellKnown(wantedCell)) {
      const cell = cellOfWork(agents, wantedCell, who.eligible);
      if (cell !== undefined) {
        addLease(leases, cell, {
          id: `duty:${id}`,
          of: { kind: 'duty', duty: index },
          eligible: who.eligible,
          lingerMs: 0,
        });
      } else {
        const homes = [...new Set(who.eligible.map((agent) => agents[agent]!.cell))];
        const message = `${id} is exclusive, and those who may carry it live in ${homes.join(' and ')}: say \`cell\`, whose voters decide`;
        if (entry === undefined) findings.at(path, 'voters', message, { at: 'key' });
        else findings.of(entry.origin, [], 'voters', message, { at: 'key' });
      }
    }
    return index;
  }

  function witnesses(refused: ReadonlyMap<AgentIndex, string>): string {
    const names = agents.filter((agent) => agent.role === 'witness' && refused.has(agent.index)).map((one) => one.id);
    return names.length === 0
      ? ''
      : `, ${names.join(' and ')} ${names.length === 1 ? 'is a witness' : 'are witnesses'}`;
  }
}
