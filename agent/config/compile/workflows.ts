import { entryId } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';
import { didYouMean } from '../../base/nearest.ts';
import type { StepAction, StepSpec, WorkflowSpec } from '../../core/remediation/workflow.ts';
import { parseBudget, parseTimes } from '../grammar.ts';
import { formatDuration, parseDuration } from '../quantity.ts';
import type { Path } from '../site-document.ts';
import type { Entry } from '../site-model.ts';
import type { SiteContext } from './context.ts';
import { singular } from './names.ts';
import { everywhere, same } from './places.ts';
import { compileRequestStep } from './requests.ts';
import { compileWriteStep } from './writes.ts';

/** Workflows, their steps, and where they run. */
export function compileWorkflows(site: SiteContext): void {
  const {
    model,
    findings,
    duties,
    scheduleDuty,
    alarms,
    workflows,
    entriesOf,
    at,
    lookup,
    dutyNamed,
    addCondition,
    read,
    duration,
    onlyIn,
    home,
    locationsOf,
    placeName,
  } = site;
  const { shape } = model;
  for (const [index, entry] of entriesOf('workflows').entries()) workflows.push(compileWorkflow(entry, index));
  placeRungs();

  function compileWorkflow(entry: Entry<'workflows'>, index: number): WorkflowSpec {
    const { value, thing } = entry;
    for (const key of ['exclusive', 'cell'] as const) {
      if (value[key] === undefined || value.at !== undefined) continue;
      findings.of(
        entry.origin,
        [key],
        'value',
        `\`${key}\` belongs to a workflow with \`at\`: this one runs where its trigger is judged`,
        { at: 'key', ...(key === 'exclusive' ? { remedy: 'for one at a time: `permit`' } : {}) },
      );
    }
    if (value.when !== undefined && value.at !== undefined) {
      findings.of(
        entry.origin,
        ['at'],
        'clash',
        `Workflow ${entry.name} has \`when\` and \`at\`: it reacts or it runs at times, make two of it`,
        { at: 'key' },
      );
    }
    const timesOf = value.at === undefined ? undefined : read(entry, ['at'], parseTimes(value.at), undefined);
    const when = value.when === undefined ? undefined : addCondition(entry, ['when'], value.when, 'when');
    const onlyIf =
      value['only-if'] === undefined ? undefined : addCondition(entry, ['only-if'], value['only-if'], 'only-if');
    const verify = addCondition(entry, ['verify'], value.verify, 'verify');
    const guards = onlyIn(entry, value['only-in']);
    const schedule = scheduleDuty.get(entry.id);
    let runsOn = schedule === undefined ? home(thing) : ({ on: 'holder', duty: schedule } as Location);
    const found = locationsOf(when);
    if (schedule === undefined && when !== undefined && found.length > 0) {
      if (found.length === 1) runsOn = found[0]!;
      else if (!found.some((one) => same(one, runsOn))) {
        findings.of(
          entry.origin,
          ['when'],
          'later',
          `This \`when\` is judged in several places (${found.map(placeName).join(', ')}): who acts then is decided by leases, later`,
        );
      }
    }
    const steps = value.steps.map((step, i) => compileStep(entry, step, i));
    const lockout = thing.body.signals.get('lockout');
    return {
      index,
      id: entryId(entry.id),
      thing: thing.index,
      runsOn,
      when,
      at: timesOf,
      onlyIf,
      onlyIn: guards,
      lockout: lockout === undefined ? undefined : at('signals', lockout),
      permit: undefined,
      budget: read(entry, ['budget'], parseBudget(value.budget), { count: 1, perMs: 86_400_000 }),
      cooldownMs: duration(entry, 'cooldown', value.cooldown, 60_000),
      guardWaitMs: duration(entry, 'guard-wait', value['guard-wait'], 600_000),
      steps,
      verify,
      verifyTimeoutMs: duration(entry, 'verify-within', value['verify-within'], 60_000, 100),
      soakMs: duration(entry, 'soak', value.soak, 30_000),
      quietMs: duration(entry, 'quiet', value.quiet, 1_800_000),
      ifFailed: ifFailed(entry),
    };
  }

  function ifFailed(entry: Entry<'workflows'>): WorkflowSpec['ifFailed'] {
    const wanted = entry.value['if-failed'];
    if (wanted === undefined) {
      const name = `${entry.name}-failed`;
      const written = entry.thing.body.alarms.get(name);
      if (written !== undefined) return [{ kind: 'alarm', alarm: at('alarms', written) }];
      const index = alarms.length;
      alarms.push({
        index,
        id: entryId(`${entry.thing.name}/${name}`),
        alarmId: `${name}.${entry.thing.name}`,
        thing: entry.thing.index,
        runsOn: everywhere,
        when: undefined,
        priority: 'medium',
        cause: `the workflow ${entry.id} did not help`,
        consequence: `what it should mend stands: ${entry.value.when ?? entry.value.about ?? 'see its incident'}`,
        response: 'look at the incident of the run, then repair by hand',
        respondWithinMs: 3_600_000,
        blindAfterMs: 60_000,
        local: undefined,
      });
      return [{ kind: 'alarm', alarm: index }];
    }
    const result: WorkflowSpec['ifFailed'][number][] = [];
    for (const [i, one] of wanted.entries()) {
      const kind = 'workflow' in one ? 'workflows' : 'alarms';
      const name = 'workflow' in one ? one.workflow : one.alarm;
      const found = lookup(kind, name, entry.thing);
      if ('missing' in found) findings.of(entry.origin, ['if-failed', i, singular[kind]], 'reference', found.missing);
      if (!('found' in found)) continue;
      if (kind === 'workflows') result.push({ kind: 'workflow', workflow: at(kind, found.found) });
      else result.push({ kind: 'alarm', alarm: at(kind, found.found) });
    }
    return result;
  }

  function compileStep(
    entry: Entry<'workflows'>,
    step: Entry<'workflows'>['value']['steps'][number],
    i: number,
  ): StepSpec {
    const below: Path = ['steps', i];
    const kinds = (['process.restart', 'command.run', 'plc.write', 'http.request', 'wait', 'notify'] as const).filter(
      (kind) => step[kind] !== undefined,
    );
    if (kinds.length !== 1 && !entry.thing.broken.has(`workflows/${entry.name}`)) {
      findings.of(
        entry.origin,
        below,
        'missing',
        kinds.length === 0
          ? 'This step does nothing: say process.restart, command.run, plc.write, http.request, wait or notify'
          : `This step does ${kinds.join(' and ')}: make two steps of it`,
      );
    }
    const time = (key: 'timeout' | 'lands-within', fallback: number, least: number): number => {
      const value = step[key];
      if (value === undefined) return fallback;
      const parsed = parseDuration(value);
      if (parsed.ok && parsed.value >= least) return parsed.value;
      findings.of(
        entry.origin,
        [...below, key],
        'value',
        parsed.ok ? `"${value}" is too short: ${formatDuration(least)} at least` : parsed.error,
      );
      return fallback;
    };
    const kind = kinds[0] ?? 'wait';
    let action: StepAction = { kind: 'wait', ms: 0 };
    let doubt: StepSpec['doubt'] = 'idempotent';
    let timeoutMs = 30_000;
    let landsWithinMs = 0;
    if (kind === 'process.restart') {
      const duty = dutyNamed(step[kind]!, entry.thing);
      if ('missing' in duty) findings.of(entry.origin, [...below, kind], 'reference', duty.missing);
      else if ('found' in duty && duties[duty.found]!.work.kind !== 'process') {
        findings.of(entry.origin, [...below, kind], 'reference', `Duty ${step[kind]} runs no process`);
      }
      action = { kind, duty: 'found' in duty ? duty.found : 0 };
      doubt = 'probeable';
      landsWithinMs = 2_000;
    } else if (kind === 'command.run') {
      action = { kind, argv: step[kind]!.map(String) };
      doubt = 'fire-once';
      landsWithinMs = 5_000;
    } else if (kind === 'plc.write') {
      action = { kind, ...compileWriteStep(site, entry, [...below, kind], step[kind]!) };
      doubt = 'fire-once';
      timeoutMs = 10_000;
      landsWithinMs = 2_000;
    } else if (kind === 'http.request') {
      action = compileRequestStep(site, entry, [...below, kind], step[kind]!);
      doubt = 'fire-once';
      timeoutMs = 10_000;
      landsWithinMs = 5_000;
    } else if (kind === 'notify') {
      const { people: who, text } = step.notify!;
      const all = typeof who === 'string' ? [who] : who;
      for (const one of all) {
        if (shape.people?.[one] === undefined) {
          findings.of(
            entry.origin,
            [...below, 'notify', 'people'],
            'reference',
            `There is nobody called "${one}"${didYouMean(one, Object.keys(shape.people ?? {}))}`,
          );
        }
      }
      action = { kind, people: all, text };
      landsWithinMs = 5_000;
    } else if (step.wait !== undefined) {
      const ms = parseDuration(step.wait);
      if (ms.ok) action = { kind: 'wait', ms: ms.value };
      else findings.of(entry.origin, [...below, 'wait'], 'value', ms.error);
      timeoutMs = (ms.ok ? ms.value : 0) + 5_000;
    }
    let backoffMs = 1_000;
    if (step.retry?.backoff !== undefined) {
      const parsed = parseDuration(step.retry.backoff);
      if (parsed.ok) backoffMs = parsed.value;
      else findings.of(entry.origin, [...below, 'retry', 'backoff'], 'value', parsed.error);
    }
    return {
      name: step.name ?? kind,
      action,
      timeoutMs: time('timeout', timeoutMs, 100),
      retry: { times: step.retry?.times ?? 0, backoffMs },
      doubt: step.doubt ?? doubt,
      landsWithinMs: time('lands-within', landsWithinMs, 0),
      fixing: kind !== 'wait' && kind !== 'notify',
    };
  }

  /** A workflow without a trigger runs where the one that starts it runs. */
  function placeRungs(): void {
    const entries = entriesOf('workflows');
    for (let round = 0; round < entries.length; round++) {
      let moved = false;
      for (const from of workflows) {
        for (const next of from.ifFailed) {
          if (next.kind !== 'workflow') continue;
          const rung = workflows[next.workflow]!;
          if (same(rung.runsOn, from.runsOn)) continue;
          if (rung.when !== undefined || rung.at !== undefined || round > 0) {
            findings.of(
              entries[from.index]!.origin,
              ['if-failed'],
              'later',
              `${from.id} runs ${placeName(from.runsOn)}, ${rung.id} ${placeName(rung.runsOn)}: starting a workflow elsewhere comes later`,
            );
            continue;
          }
          workflows[next.workflow] = { ...rung, runsOn: from.runsOn };
          moved = true;
        }
      }
      if (!moved) return;
    }
  }
}

/** A workflow may read and do only what is read and done where it runs. */
export function checkWorkflowPlaces(site: SiteContext): void {
  const { findings, agents, duties, signals, workflows, entriesOf, locationsOf, seen, seenSignal, placeName } = site;
  for (const [i, entry] of entriesOf('workflows').entries()) checkPlace(entry, workflows[i]!);

  function checkPlace(entry: Entry<'workflows'>, workflow: WorkflowSpec): void {
    const { runsOn } = workflow;
    const triggered = workflow.when !== undefined || workflow.at !== undefined;
    if (locationsOf(workflow.when).length > 1 && runsOn.on === 'every') return;
    if (runsOn.on === 'every' && triggered && agents.length > 1) {
      findings.of(
        entry.origin,
        [],
        'later',
        `Workflow ${entry.name} would run on all agents at once: give it to an agent or an asset; leases for the site come later`,
        { at: 'key' },
      );
      return;
    }
    for (const [key, index] of [
      ['when', workflow.when],
      ['only-if', workflow.onlyIf],
      ['verify', workflow.verify],
    ] as const) {
      if (index !== undefined && key !== undefined) seen(index, runsOn, entry);
    }
    for (const { action } of workflow.steps) {
      if (action.kind === 'plc.write' && action.onlyIf !== undefined) seen(action.onlyIf, runsOn, entry);
    }
    for (const guard of workflow.onlyIn) seenSignal(guard.state, runsOn, entry, ['only-in']);
    if (
      workflow.lockout !== undefined &&
      !(runsOn.on === 'holder' && runsOn.duty === signals[workflow.lockout]!.duty)
    ) {
      seenSignal(workflow.lockout, runsOn, entry, []);
    }
    for (const [i, step] of workflow.steps.entries()) {
      if (step.action.kind !== 'process.restart') continue;
      const duty = duties[step.action.duty];
      const here =
        (runsOn.on === 'holder' && runsOn.duty === step.action.duty) ||
        (runsOn.on === 'agent' && duty?.eligible.length === 1 && duty.eligible[0] === runsOn.agent);
      if (!here && duty !== undefined) {
        findings.of(
          entry.origin,
          ['steps', i],
          'later',
          `${duty.id} runs on its holder, this workflow ${placeName(runsOn)}: acting on another agent's process comes later`,
          { remedy: `watch it with a check { process: ${duty.id.split('/')[1]} }` },
        );
      }
    }
  }
}
