import type { SignalIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import type { ModelSpec } from '../../core/health/model.ts';
import { parseQuantity } from '../quantity.ts';
import type { Entry } from '../site-model.ts';
import { homeOf, readStatesAlong } from './alongside.ts';
import type { SiteContext } from './context.ts';
import { compileLearning } from './learning.ts';

/** Anomaly models and the signals that feed them. */
export function compileModels(site: SiteContext): void {
  const { findings, bundle, models, entriesOf, at, lookup, dwell, duration, onlyIn, home } = site;
  for (const [index, entry] of entriesOf('models').entries()) models.push(compileModel(entry, index));

  function compileModel(entry: Entry<'models'>, index: number): ModelSpec {
    const { file, learn } = entry.value;
    if (learn !== undefined && file === undefined) return compileLearning(site, entry, index, learn);
    if (file === undefined || learn !== undefined) {
      findings.of(
        entry.origin,
        [],
        'missing',
        file === undefined
          ? `Model ${entry.name} is nothing yet: say \`file: bearing/3\`, or \`learn: 1m\` to learn on the box`
          : `Model ${entry.name} has a file and learns: one of the two`,
        { at: 'key' },
      );
    }
    const inputs: { name: string; signal: SignalIndex }[] = [];
    for (const [name, said] of Object.entries(entry.value.inputs)) {
      const found = lookup('signals', String(said), entry.thing);
      if ('missing' in found) findings.of(entry.origin, ['inputs', name], 'reference', found.missing);
      if (!('found' in found)) continue;
      const signal = at('signals', found.found);
      inputs.push({ name, signal });
    }
    if (Object.keys(entry.value.inputs).length === 0)
      findings.of(entry.origin, ['inputs'], 'missing', `Model ${entry.name} has no inputs`, { at: 'key' });
    const { shadow } = entry.value;
    for (const [key, path] of [
      ['file', file],
      ['shadow', shadow],
    ] as const) {
      if (path !== undefined && (path.includes('..') || path.startsWith('/'))) {
        findings.of(entry.origin, [key], 'value', `"${path}" leaves the model folder: say for example bearing/3`);
      }
    }
    if (shadow !== undefined && shadow === file) {
      findings.of(entry.origin, ['shadow'], 'value', `${shadow} is the model itself: a shadow is another one`);
    }
    const states = onlyIn(entry, entry.value['only-in']);
    const own = inputs.map(({ signal }) => signal);
    const duty = homeOf(site, entry, ['inputs'], own);
    if (duty !== undefined) {
      const asked = states.map(({ state }) => state);
      readStatesAlong(site, entry, duty, own, asked);
    }
    return {
      index,
      id: entryId(entry.id),
      thing: entry.thing.index,
      runsOn: duty === undefined ? home(entry.thing) : { on: 'holder', duty },
      file: file ?? '',
      sha256: entry.value.sha256 ?? bundle.models?.get(file ?? ''),
      manifestSha256: bundle.manifests?.get(file ?? ''),
      shadow:
        shadow === undefined
          ? undefined
          : {
              file: shadow,
              sha256: bundle.models?.get(shadow),
              manifestSha256: bundle.manifests?.get(shadow),
            },
      falseAlarms: share(entry),
      retrainMs:
        entry.value.retrain === undefined
          ? undefined
          : duration(entry, 'retrain', entry.value.retrain, 7 * 86_400_000, 3_600_000),
      inputs,
      onlyIn: states,
      raise: dwell(entry, 'raise', entry.value.raise),
      clear: dwell(entry, 'clear', entry.value.clear),
    };
  }

  /** `2%` as 0.02. */
  function share(entry: Entry<'models'>): number | undefined {
    const said = entry.value['false-alarms'];
    if (said === undefined) return undefined;
    const quantity = parseQuantity(said);
    const value =
      quantity.ok && quantity.value.unit?.dimension === 'ratio'
        ? quantity.value.value * quantity.value.unit.factor
        : Number.NaN;
    if (value > 0 && value < 1) return value;
    findings.of(entry.origin, ['false-alarms'], 'value', `"${said}" is no share of windows: say for example 2%`);
    return undefined;
  }
}
