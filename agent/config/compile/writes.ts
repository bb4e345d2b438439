import { err, ok, type Result } from '../../base/result.ts';
import type { StepAction } from '../../core/remediation/workflow.ts';
import type { Path } from '../site-document.ts';
import type { Entry } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { SiteContext } from './context.ts';

/** Where each of `writes` goes on its device. */
export function compileWrites(site: SiteContext): void {
  const { findings, writes, entriesOf, sourceOf } = site;
  for (const [index, entry] of entriesOf('writes').entries()) {
    const { value, thing } = entry;
    const source = sourceOf(thing);
    if (source === undefined) {
      findings.of(
        entry.origin,
        [],
        'missing',
        `${thing.name} has nothing to write ${entry.name} to: give it \`connect\` or \`source\``,
        { at: 'key' },
      );
    }
    const modbus = source?.connect?.modbus !== undefined;
    const opcua = source?.connect?.opcua !== undefined;
    const { s7, mqtt, modbus: line } = source?.connect ?? {};
    const silent =
      s7 !== undefined ? 'S7' : mqtt !== undefined ? 'MQTT' : line?.serial !== undefined ? 'a serial line' : undefined;
    if (silent !== undefined)
      findings.of(entry.origin, [], 'later', `Writing over ${silent} comes later: take ${entry.name} out for now`, {
        at: 'key',
      });
    for (const key of ['address', 'mark'] as const) {
      const address = value[key];
      if (address === undefined || isPlaceholder(address)) continue;
      const fits =
        key === 'mark' || value.mark !== undefined
          ? /^(holding|input):\d{1,6}$/.test(address) && (key === 'mark' || address.startsWith('holding'))
          : /^(holding|coil):\d{1,6}$/.test(address);
      if (modbus && !fits) {
        const say = key === 'mark' || value.mark !== undefined ? 'holding:40101' : 'holding:40011 or coil:1';
        findings.of(entry.origin, [key], 'value', `"${address}" is no Modbus address for this: say ${say}`);
      } else if (opcua && !/^(ns=\d+;)?[isgb]=.+$/.test(address)) {
        findings.of(
          entry.origin,
          [key],
          'value',
          `"${address}" is no OPC UA node id: say for example "ns=2;s=Press7.Target"`,
        );
      }
    }
    const coil = value.address.startsWith('coil:');
    if (value.type === undefined && !coil) {
      findings.of(entry.origin, [], 'missing', `Say the type of ${entry.name}: what is written must be what is held`, {
        at: 'key',
      });
    } else if (coil && (value.type ?? 'bool') !== 'bool') {
      findings.of(entry.origin, ['type'], 'value', `A coil is a bool, not ${value.type}`);
    }
    for (const [i, allowed] of value.allow.entries()) {
      const range = rangeOf(allowed);
      if (!range.ok) findings.of(entry.origin, ['allow', i], 'value', range.error);
    }
    writes.set(index, {
      name: entry.id,
      source: source?.index ?? thing.index,
      address: value.address,
      type: value.type ?? 'bool',
      mark: value.mark,
      ...(value['only-if'] === undefined
        ? {}
        : { onlyIf: site.addCondition(entry, ['only-if'], value['only-if'], 'only-if') }),
    });
  }
}

/** What a step writes, and where. */
export function compileWriteStep(
  site: SiteContext,
  entry: Entry<'workflows'>,
  below: Path,
  said: Readonly<Record<string, string | number | boolean>>,
): Omit<Extract<StepAction, { kind: 'plc.write' }>, 'kind'> {
  const { findings, lookup, at } = site;
  const pairs = Object.entries(said);
  const [name, text] = pairs[0] ?? ['', 0];
  if (pairs.length !== 1) {
    findings.of(entry.origin, below, 'value', 'One step writes one value: { oil-target: 45 }');
    return { write: 0, name, value: 0 };
  }
  const found = lookup('writes', name, entry.thing);
  if ('missing' in found) findings.of(entry.origin, [...below, name], 'reference', found.missing, { at: 'key' });
  const number = numberOf(text);
  if (number === undefined) {
    if (!isPlaceholder(String(text))) {
      findings.of(
        entry.origin,
        [...below, name],
        'value',
        `${JSON.stringify(text)} is no value: a number, true or false`,
      );
    }
    return { write: 0, name, value: 0 };
  }
  if (!('found' in found)) return { write: 0, name, value: number };
  const { allow } = found.found.value;
  const ranges = allow.flatMap((one) => {
    const range = rangeOf(one);
    return range.ok ? [range.value] : [];
  });
  // Words that are not understood are told where they stand.
  const allowed = ranges.length < allow.length || ranges.some(({ lo, hi }) => number >= lo && number <= hi);
  if (!allowed) {
    const list = allow.map(String).join(', ');
    findings.of(entry.origin, [...below, name], 'value', `${name} may be ${list}, not ${number}`);
  }
  const write = at('writes', found.found);
  const onlyIf = site.writes.get(write)?.onlyIf;
  return { write, name: found.found.id, value: number, ...(onlyIf === undefined ? {} : { onlyIf }) };
}

/** What changes a device goes with a fencing token, so it needs work that has one. */
export function checkWriteRights(site: SiteContext): void {
  const { model, findings, duties, workflows, writes, entriesOf, placeName } = site;
  for (const [i, entry] of entriesOf('workflows').entries()) {
    const workflow = workflows[i]!;
    const { runsOn } = workflow;
    for (const [n, step] of workflow.steps.entries()) {
      const { kind } = step.action;
      if (kind !== 'plc.write' && kind !== 'http.request') continue;
      const path: Path = ['steps', n, kind];
      const exclusive = runsOn.on === 'holder' && duties[runsOn.duty]?.exclusive === true;
      if (workflow.permit === undefined && entry.value.permit === undefined && !exclusive) {
        const does = kind === 'plc.write' ? 'write' : 'send it';
        findings.of(entry.origin, path, 'missing', `Two agents could ${does} at once: nothing here says who may`, {
          remedy: `give the workflow a \`permit\`${kind === 'plc.write' ? ', or the device `clients: 1`' : ''}`,
        });
      }
      if (step.action.kind !== 'plc.write') continue;
      const { write } = step.action;
      const target = writes.get(write);
      const device = model.things.find(({ index }) => index === target?.source);
      if (device === undefined) continue;
      const single = (device.connect?.modbus ?? device.connect?.opcua ?? device.connect?.s7)?.clients === 1;
      const poll = site.pollDuty.get(device.name);
      if (single && !(runsOn.on === 'holder' && runsOn.duty === poll)) {
        findings.of(
          entry.origin,
          path,
          'later',
          `${device.name} bears one client, the agent that polls it; this workflow runs ${placeName(runsOn)}: writing for another agent comes later`,
        );
      }
    }
  }
}

const numberOf = (value: string | number | boolean): number | undefined => {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  return /^[+-]?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : undefined;
};

/** `45`, `true`, `40..60`: from where to where, both included. */
function rangeOf(value: string | number | boolean): Result<{ readonly lo: number; readonly hi: number }, string> {
  const single = numberOf(value);
  if (single !== undefined) return ok({ lo: single, hi: single });
  const match = /^\s*([+-]?\d+(?:\.\d+)?)\s*\.\.\s*([+-]?\d+(?:\.\d+)?)\s*$/.exec(String(value));
  const [lo, hi] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && lo <= hi ? ok({ lo, hi }) : err(`"${value}" is no value and no range: say 45 or 40..60`);
}
