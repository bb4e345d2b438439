import { entryId } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';
import type { ModelSpec } from '../../core/health/model.ts';
import { formatDuration, parseDuration } from '../quantity.ts';
import type { Entry } from '../site-model.ts';
import type { ModelShape } from '../site-schema.ts';
import { readStatesAlong } from './alongside.ts';
import type { SiteContext } from './context.ts';

/** Rows from which a detector only learns: a day of minutes, unless said; too few know too little to call a thing new. */
const afterRows = { usual: 1_440, least: 100, most: 20_000 };
const holdRowsAtMost = 20_000;
const rowMs = { usual: 60_000, least: 100, most: 86_400_000 };

/** A model without a file: it learns on the box what is usual for its inputs, signals and checks with a value. */
export function compileLearning(
  site: SiteContext,
  entry: Entry<'models'>,
  index: number,
  said: NonNullable<ModelShape['learn']>,
): ModelSpec {
  const { findings, signals, checks, at, lookup, read, dwell, onlyIn, home } = site;
  const { value } = entry;
  const path = typeof said === 'string' ? ['learn'] : ['learn', 'every'];
  const written: Exclude<typeof said, string> = typeof said === 'string' ? { every: said } : said;
  const complain = (below: string[], text: string) => findings.of(entry.origin, below, 'value', text);
  const time = (below: string[], text: unknown, usual: number) =>
    text === undefined ? usual : read(entry, below, parseDuration(text), usual);

  for (const key of ['shadow', 'false-alarms', 'retrain'] as const) {
    if (value[key] !== undefined)
      complain([key], `"${key}" goes with a file: what learns by itself has nothing to go back to`);
  }
  let everyMs = time(path, written.every, rowMs.usual);
  if (everyMs < rowMs.least || everyMs > rowMs.most) {
    complain(
      path,
      `Rows of ${formatDuration(everyMs)}: ${formatDuration(rowMs.least)} to ${formatDuration(rowMs.most)}`,
    );
    everyMs = rowMs.usual;
  }
  const after = time(['learn', 'after'], written.after, afterRows.usual * everyMs);
  const hold = time(['learn', 'hold'], written.hold, 0);
  const rowsOf = (ms: number) => Math.round(ms / everyMs);
  if (rowsOf(after) < afterRows.least || rowsOf(after) > afterRows.most) {
    complain(
      ['learn', 'after'],
      `${formatDuration(after)} are ${rowsOf(after)} rows to learn from: ${afterRows.least} (${formatDuration(afterRows.least * everyMs)}) to ${afterRows.most} (${formatDuration(afterRows.most * everyMs)})`,
    );
  }
  if (rowsOf(hold) > holdRowsAtMost) {
    complain(['learn', 'hold'], `Held for ${rowsOf(hold)} rows: ${formatDuration(holdRowsAtMost * everyMs)} at most`);
  }
  if (value.sha256 !== undefined) complain(['sha256'], 'What learns on the box has no file and no sha256');

  const inputs: { name: string; signal: number }[] = [];
  const values: { name: string; check: number }[] = [];
  const places: Location[] = [];
  for (const [name, source] of Object.entries(value.inputs)) {
    const signal = lookup('signals', String(source), entry.thing);
    if ('found' in signal) {
      const number = at('signals', signal.found);
      inputs.push({ name, signal: number });
      places.push({ on: 'holder', duty: signals[number]!.duty });
      continue;
    }
    if ('broken' in signal) continue;
    const check = lookup('checks', String(source), entry.thing);
    if ('found' in check) {
      const number = at('checks', check.found);
      values.push({ name, check: number });
      const { runsOn } = checks[number] ?? {};
      if (runsOn !== undefined) places.push(runsOn);
    } else if ('missing' in check) {
      findings.of(entry.origin, ['inputs', name], 'reference', `${signal.missing}; nor is it a check`);
    }
  }
  if (Object.keys(value.inputs).length === 0)
    findings.of(entry.origin, ['inputs'], 'missing', `Model ${entry.name} has no inputs`, { at: 'key' });
  const place = places[0] ?? home(entry.thing);
  if (places.some((one) => JSON.stringify(one) !== JSON.stringify(place))) {
    findings.of(
      entry.origin,
      ['inputs'],
      'later',
      `Model ${entry.name} reads from several machines: that comes later`,
      {
        at: 'key',
      },
    );
  }
  const states = onlyIn(entry, value['only-in']);
  const own = inputs.map(({ signal }) => signal);
  const asked = states.map(({ state }) => state);
  if (place.on === 'holder') readStatesAlong(site, entry, place.duty, own, asked);
  return {
    index,
    id: entryId(entry.id),
    thing: entry.thing.index,
    runsOn: place,
    file: '',
    sha256: undefined,
    inputs,
    onlyIn: states,
    raise: dwell(entry, 'raise', value.raise),
    clear: dwell(entry, 'clear', value.clear),
    learn: {
      rowMs: everyMs,
      afterRows: rowsOf(after),
      holdRows: rowsOf(hold),
      sensitivity: written.sensitivity ?? 'medium',
      checks: values,
    },
  };
}
