import type { DutyIndex, SignalIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import type { ModelSpec } from '../../core/health/model.ts';
import type { Entry } from '../site-model.ts';
import type { SiteContext } from './context.ts';

/** Anomaly models and the signals that feed them. */
export function compileModels(site: SiteContext): void {
  const { findings, bundle, signals, models, entriesOf, at, lookup, dwell, home } = site;
  for (const [index, entry] of entriesOf('models').entries()) models.push(compileModel(entry, index));

  function compileModel(entry: Entry<'models'>, index: number): ModelSpec {
    const inputs: { name: string; signal: SignalIndex }[] = [];
    const sources = new Set<DutyIndex>();
    for (const [name, said] of Object.entries(entry.value.inputs)) {
      const found = lookup('signals', String(said), entry.thing);
      if ('missing' in found) findings.of(entry.origin, ['inputs', name], 'reference', found.missing);
      if (!('found' in found)) continue;
      const signal = at('signals', found.found);
      inputs.push({ name, signal });
      sources.add(signals[signal]!.duty);
    }
    if (Object.keys(entry.value.inputs).length === 0)
      findings.of(entry.origin, ['inputs'], 'missing', `Model ${entry.name} has no inputs`, { at: 'key' });
    if (sources.size > 1) {
      findings.of(
        entry.origin,
        ['inputs'],
        'later',
        `Model ${entry.name} reads from several machines: that comes later`,
        { at: 'key' },
      );
    }
    if (entry.value.file.includes('..') || entry.value.file.startsWith('/')) {
      findings.of(
        entry.origin,
        ['file'],
        'value',
        `"${entry.value.file}" leaves the model folder: say for example bearing/3`,
      );
    }
    const [duty] = sources;
    return {
      index,
      id: entryId(entry.id),
      thing: entry.thing.index,
      runsOn: duty === undefined ? home(entry.thing) : { on: 'holder', duty },
      file: entry.value.file,
      sha256: entry.value.sha256 ?? bundle.models?.get(entry.value.file),
      inputs,
      raise: dwell(entry, 'raise', entry.value.raise),
      clear: dwell(entry, 'clear', entry.value.clear),
    };
  }
}
