import type { SignalIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import type { SignalSpec } from '../../core/health/signal.ts';
import type { Tag } from '../../driver/bindings.ts';
import { parseScale } from '../grammar.ts';
import { convert, unitOf } from '../quantity.ts';
import type { Path } from '../site-document.ts';
import type { Entry, ThingModel } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { SiteContext } from './context.ts';
import { secretOf } from './probes.ts';

/** Signals, where they live on their devices, and how those are reached. */
export function compileSignals(site: SiteContext): void {
  const { model, findings, pollDuty, signals, tags, connections, entriesOf, sourceOf, read, duration } = site;
  for (const [index, entry] of entriesOf('signals').entries()) signals.push(compileSignal(entry, index));
  for (const thing of model.things) if (thing.connect !== undefined) compileConnection(thing);

  function compileSignal(entry: Entry<'signals'>, index: SignalIndex): SignalSpec {
    const { value, thing } = entry;
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
    const modbus = source?.connect?.modbus !== undefined;
    if (modbus && !/^(holding|input|coil|discrete):\d{1,6}$/.test(value.address)) {
      findings.of(
        entry.origin,
        ['address'],
        'value',
        `"${value.address}" is no Modbus address: say holding:40011, input:30001, coil:1 or discrete:1`,
      );
    } else if (
      source?.connect?.opcua !== undefined &&
      !isPlaceholder(value.address) &&
      !/^(ns=\d+;)?[isgb]=.+$/.test(value.address)
    ) {
      findings.of(
        entry.origin,
        ['address'],
        'value',
        `"${value.address}" is no OPC UA node id: say for example "ns=2;s=Press7.Speed"`,
      );
    }
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
    const bit = /^(coil|discrete):/.test(value.address);
    const type =
      value.type ??
      (bit || entry.name === 'lockout' ? 'bool' : modbus ? 'uint16' : entry.name === 'state' ? 'int32' : 'float64');
    if (bit && type !== 'bool')
      findings.of(entry.origin, ['type'], 'value', `A ${value.address.split(':')[0]} is a bool, not ${type}`);
    tags.set(index, {
      signal: index,
      name: entry.id,
      source: source?.index ?? thing.index,
      address: value.address,
      type,
      scale: scaled,
      everyMs,
      unit: unitName,
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
    };
  }

  function compileConnection(thing: ThingModel): void {
    const path: Path = [...thing.path, 'connect'];
    const { opcua, modbus } = thing.connect!;
    if ((opcua === undefined) === (modbus === undefined)) {
      if (thing.broken.has('connect')) return;
      findings.at(path, 'missing', `${thing.name} needs one connection: opcua or modbus`, { at: 'key' });
      return;
    }
    if (opcua !== undefined) {
      if (!/^opc\.tcp:\/\/[^/\s]+/.test(opcua.endpoint)) {
        findings.at(
          [...path, 'opcua', 'endpoint'],
          'value',
          `"${opcua.endpoint}" is no OPC UA endpoint: say opc.tcp://host:4840`,
        );
      }
      connections.set(thing.index, {
        kind: 'opcua',
        endpoint: opcua.endpoint,
        security: opcua.security ?? 'none',
        user: opcua.user,
        secret: opcua.secret === undefined ? undefined : secretOf(opcua.secret),
      });
    } else if (modbus !== undefined) {
      const whole = (key: 'port' | 'unit', fallback: number, most: number): number => {
        const given = modbus[key];
        if (given === undefined) return fallback;
        const number = Number(given);
        if (Number.isInteger(number) && number >= 0 && number <= most) return number;
        findings.at(
          [...path, 'modbus', key],
          'value',
          `${JSON.stringify(given)} is no ${key}: a whole number to ${most}`,
        );
        return fallback;
      };
      connections.set(thing.index, {
        kind: 'modbus',
        host: modbus.host,
        port: whole('port', 502, 65_535),
        unit: whole('unit', 1, 255),
        order: modbus.order ?? 'abcd',
      });
    }
  }
}
