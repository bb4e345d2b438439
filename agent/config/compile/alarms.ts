import { entryId } from '../../base/ids.ts';
import type { AlarmSpec } from '../../core/reporting/alarm.ts';
import type { Entry } from '../site-model.ts';
import type { SiteContext } from './context.ts';

/** Alarms that the file names. Those that workflows imply come with these. */
export function compileAlarms(site: SiteContext): void {
  const { alarms, entriesOf, addCondition, duration, home, locationsOf, seen } = site;
  for (const [index, entry] of entriesOf('alarms').entries()) alarms.push(compileAlarm(entry, index));

  function compileAlarm(entry: Entry<'alarms'>, index: number): AlarmSpec {
    const { value, thing } = entry;
    const when = value.when === undefined ? undefined : addCondition(entry, ['when'], value.when, 'when');
    const found = locationsOf(when);
    const own = home(thing);
    const runsOn = found.length === 1 ? found[0]! : own;
    seen(when, runsOn, entry);
    return {
      index,
      id: entryId(entry.id),
      alarmId: `${entry.name}.${thing.name}`,
      thing: thing.index,
      runsOn,
      when,
      priority: value.priority,
      cause: String(value.cause),
      consequence: String(value.consequence),
      response: String(value.response),
      respondWithinMs: duration(entry, 'respond-within', value['respond-within'], 3_600_000, 1_000),
      blindAfterMs: duration(entry, 'blind-after', value['blind-after'], 60_000),
      neverFolds: value.fold === 'never' ? true : undefined,
      local: value.local?.map(String),
    };
  }
}

/** An alarm without a condition of its own runs where the workflow runs that raises it. */
export function placeRaisedAlarms(site: SiteContext): void {
  const { findings, alarms, workflows, entriesOf } = site;
  const raised = new Set<number>();
  for (const workflow of workflows) {
    for (const next of workflow.ifFailed) {
      if (next.kind !== 'alarm') continue;
      const alarm = alarms[next.alarm]!;
      if (alarm.when === undefined) alarms[next.alarm] = { ...alarm, runsOn: workflow.runsOn };
      raised.add(next.alarm);
    }
  }
  for (const [i, entry] of entriesOf('alarms').entries()) {
    if (entry.value.when === undefined && !raised.has(i) && !entry.thing.broken.has(`alarms/${entry.name}`)) {
      findings.of(
        entry.origin,
        [],
        'missing',
        `Alarm ${entry.name} has no \`when\`, and no workflow raises it: it could never be heard`,
        { at: 'key' },
      );
    }
  }
}
