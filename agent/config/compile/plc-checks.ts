import type { Location } from '../../base/location.ts';
import type { Probe } from '../../driver/bindings.ts';
import type { Entry } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import { type Protocol, protocolName, protocolOf } from './addresses.ts';
import type { SiteContext } from './context.ts';

type Question = Extract<Probe, { kind: 'plc' }>['question'];

/** What each protocol has a word for. The rest a vendor may give as an ordinary value: that is a signal. */
const answers: Readonly<Record<Protocol, readonly Question[]>> = {
  opcua: ['mode', 'service'],
  s7: ['mode', 'scan', 'program'],
  modbus: [],
  mqtt: [],
};

/** `plc: mode`, `plc: { program: 3f9a12c4 }`. */
export function questionOf({ value }: Entry<'checks'>): {
  readonly question: Question;
  readonly expect: string | undefined;
} {
  const { plc } = value;
  return typeof plc === 'object'
    ? { question: 'program', expect: plc.program.toLowerCase() }
    : { question: plc!, expect: undefined };
}

export const plcUnit = (entry: Entry<'checks'>): string | undefined =>
  ({ scan: 'ms', service: 'count', mode: undefined, program: undefined })[questionOf(entry).question];

/** A controller is not asked for its whole directory every few seconds. */
export const plcEveryMs = (entry: Entry<'checks'>): number =>
  questionOf(entry).question === 'program' ? 600_000 : 5_000;

/** A check of a controller by itself, and where it runs: over the connection that is polled. */
export function compilePlcProbe(site: SiteContext, entry: Entry<'checks'>): Probe {
  const { findings, sourceOf } = site;
  const { question, expect } = questionOf(entry);
  const source = sourceOf(entry.thing);
  const protocol = protocolOf(source?.connect);
  if (source === undefined) {
    findings.of(
      entry.origin,
      ['plc'],
      'missing',
      `${entry.thing.name} has no controller to ask: give it \`connect\` or \`source\``,
    );
  } else if (protocol !== undefined && !answers[protocol].includes(question)) {
    const can = answers[protocol];
    const words = { mode: 'no mode', scan: 'no scan time', program: 'no program', service: 'no service level' }[
      question
    ];
    findings.of(
      entry.origin,
      ['plc'],
      'value',
      `${protocolName(protocol)} tells ${words}${can.length === 0 ? '' : `, but ${can.join(', ')}`}: if this controller has a variable for it, make that a signal`,
    );
  }
  if (expect !== undefined && !isPlaceholder(expect) && !/^[0-9a-f]{8,64}$/.test(expect)) {
    findings.of(
      entry.origin,
      ['plc', 'program'],
      'value',
      `"${expect}" is no hash: 8 to 64 hex digits, as \`millwright plc read --facts\` shows them`,
    );
  }
  return { kind: 'plc', source: source?.index ?? entry.thing.index, question, expect };
}

/** Undefined: its device is not polled. */
export function plcPlace(site: SiteContext, entry: Entry<'checks'>): Location | undefined {
  const source = site.sourceOf(entry.thing);
  const duty = source === undefined ? undefined : site.pollDuty.get(source.name);
  return duty === undefined ? undefined : { on: 'holder', duty };
}
