import type { SignalIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import type { SignalSpec } from '../../core/health/signal.ts';
import type { Tag } from '../../driver/bindings.ts';
import { parseScale } from '../grammar.ts';
import { convert, parseQuantity, unitOf } from '../quantity.ts';
import type { Entry } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import { addressProblem, protocolOf, typeFromAddress } from './addresses.ts';
import { compileConnections } from './connections.ts';
import type { SiteContext } from './context.ts';
import { compileFormulas, compileOver, withoutAddress } from './derived.ts';

/** Signals, where they live on their devices, and how those are reached. */
export function compileSignals(site: SiteContext): void {
  const { findings, pollDuty, signals, tags, entriesOf, sourceOf, read, duration } = site;
  for (const [index, entry] of entriesOf('signals').entries()) signals.push(compileSignal(entry, index));
  compileFormulas(site);
  compileConnections(site);

  function compileSignal(entry: Entry<'signals'>, index: SignalIndex): SignalSpec {
    const { value, thing } = entry;
    const over = compileOver(site, entry);
    if (value.address === undefined) return withoutAddress(site, entry, index, over);
    if (value.formula !== undefined) {
      const text = `Signal ${entry.name} has an address and a formula: it is read, or it is reckoned`;
      findings.of(entry.origin, ['formula'], 'clash', text, { at: 'key' });
    }
    const source = sourceOf(thing);
    if (thing.kind !== 'asset') {
      findings.of(
        entry.origin,
        [],
        'later',
        `Signals of ${thing.kind === 'agent' ? 'an agent' : 'the site'} come later: give them to an asset`,
        { at: 'key' },
      );
    } else if (source === undefined && thing.source === undefined) {
      findings.of(
        entry.origin,
        [],
        'missing',
        `${thing.name} has nothing to read ${entry.name} from: give it \`connect\` or \`source\``,
        { at: 'key' },
      );
    }
    const protocol = protocolOf(source?.connect);
    const problem = protocol === undefined ? undefined : addressProblem(protocol, value.address);
    if (problem !== undefined) findings.of(entry.origin, ['address'], 'value', problem);
    const scale = value.scale === undefined ? undefined : read(entry, ['scale'], parseScale(value.scale), undefined);
    let unitName = value.unit ?? scale?.unit;
    if (value.unit !== undefined && unitOf(value.unit) === undefined) {
      findings.of(entry.origin, ['unit'], 'unit', `"${value.unit}" is not a unit that is known here`);
      unitName = undefined;
    } else if (unitName !== undefined) unitName = unitOf(unitName)?.name;
    let scaled: Tag['scale'];
    if (scale !== undefined) {
      const from = scale.unit === undefined ? undefined : unitOf(scale.unit);
      const to = unitName === undefined ? undefined : unitOf(unitName);
      const lo = from === undefined || to === undefined ? scale.lo : convert(scale.lo, from, to);
      const hi = from === undefined || to === undefined ? scale.hi : convert(scale.hi, from, to);
      if (lo === undefined || hi === undefined) {
        findings.of(
          entry.origin,
          ['scale'],
          'dimension',
          `The scale is in ${scale.unit}, the signal in ${value.unit}: these cannot be converted`,
        );
      } else scaled = { rawLo: scale.rawLo, rawHi: scale.rawHi, lo, hi };
    }
    if ((value.states !== undefined) !== (entry.name === 'state')) {
      findings.of(
        entry.origin,
        value.states === undefined ? [] : ['states'],
        'missing',
        value.states === undefined
          ? 'The signal "state" needs `states`: which number is which state'
          : '`states` belongs to the signal called "state"',
        { at: 'key' },
      );
    }
    const states = new Map<number, string>();
    for (const [code, name] of Object.entries(value.states ?? {})) {
      if (/^-?\d+$/.test(code)) states.set(Number(code), String(name));
      else
        findings.of(entry.origin, ['states', code], 'value', `"${code}" is no code: states are written number: name`, {
          at: 'key',
        });
    }
    const everyMs = duration(entry, 'every', value.every, 1_000, 10);
    const implied = typeFromAddress(protocol, value.address);
    const usual = protocol === 'modbus' ? 'uint16' : entry.name === 'state' ? 'int32' : 'float64';
    const type = value.type ?? implied ?? (entry.name === 'lockout' ? 'bool' : usual);
    if (implied !== undefined && value.type !== undefined && type !== implied) {
      const what = /^(coil|discrete):/.test(value.address)
        ? `A ${value.address.split(':')[0]} is a bool`
        : `${value.address} is of type ${implied}`;
      findings.of(entry.origin, ['type'], 'value', `${what}, not ${type}`);
    }
    const change = changeOf(entry, scaled, unitName, protocol === 'opcua');
    const frozenMs = value.frozen === undefined ? undefined : duration(entry, 'frozen', value.frozen, 0, 2 * everyMs);
    tags.set(index, {
      signal: index,
      name: entry.id,
      source: source?.index ?? thing.index,
      address: value.address,
      type,
      scale: scaled,
      everyMs,
      unit: unitName,
      ...(change === undefined ? {} : { change }),
      ...(frozenMs === undefined ? {} : { frozenMs }),
    });
    return {
      index,
      id: entryId(entry.id),
      thing: thing.index,
      unit: unitName,
      duty: (source === undefined ? undefined : pollDuty.get(source.name)) ?? 0,
      everyMs,
      freshMs: duration(entry, 'fresh', value.fresh, 3 * everyMs, everyMs),
      acceptUncertain: value.accept === 'uncertain',
      states: value.states === undefined ? undefined : states,
      ...(over === undefined ? {} : { derived: { formula: undefined, over, inputs: [] } }),
    };
  }

  /** `0.1 bar` in the signal's unit, or `0.5 %` of the range: that of `scale`, or the one that an OPC UA server knows. */
  function changeOf(
    entry: Entry<'signals'>,
    scale: Tag['scale'],
    unitName: string | undefined,
    serverKnows: boolean,
  ): Tag['change'] {
    const { change } = entry.value;
    if (change === undefined || isPlaceholder(String(change))) return undefined;
    const quantity = read(entry, ['change'], parseQuantity(String(change)), undefined);
    if (quantity === undefined) return undefined;
    const { value, unit } = quantity;
    const tell = (code: 'value' | 'unit' | 'dimension', text: string) =>
      void findings.of(entry.origin, ['change'], code, text);
    if (!(value > 0)) return tell('value', `"${change}" is no deadband: say more than 0`);
    if (unit?.name === '%' && unitName !== '%') {
      if (value >= 100) return tell('value', `"${change}" would let nothing through`);
      if (scale === undefined && !serverKnows)
        return tell(
          'value',
          `"${change}" of which range? Give the signal a \`scale\`, or say it in ${unitName ?? 'its unit'}`,
        );
      return { by: 'share', share: value / 100 };
    }
    const to = unitName === undefined ? undefined : unitOf(unitName);
    if (unit === undefined)
      return to === undefined || to.name === 'count'
        ? { by: 'value', value }
        : tell('unit', `${change} has no unit: ${entry.name} is in ${to.name}`);
    // A difference: 5 °C of deadband are five degrees, whatever the zero of the scale.
    if (to === undefined || to.dimension !== unit.dimension)
      return tell(
        'dimension',
        `A deadband in ${unit.name}, ${entry.name} ${to === undefined ? 'without a unit' : `in ${to.name}`}: these cannot be compared`,
      );
    return { by: 'value', value: (value * unit.factor) / to.factor };
  }
}
