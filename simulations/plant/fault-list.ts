import { type FaultKind, type FaultName, faultCatalogue, faultNames, type MachineName } from './faults.ts';

export interface ListedFault {
  readonly name: FaultName;
  readonly machine: MachineName;
  readonly kind: FaultKind;
  readonly about: string;
  readonly rampSeconds: number;
  readonly signals: readonly string[];
}

export const listedFaults = (): readonly ListedFault[] => faultNames.map((name) => ({ name, ...faultCatalogue[name] }));

/** `--list-faults`: what can be broken, by machine; the signals named are the ground truth. */
export function faultList(json: boolean): string {
  const faults = listedFaults();
  if (json) return `${JSON.stringify({ faults })}\n`;
  const lines: string[] = [];
  let machine = '';
  for (const fault of [...faults].sort((a, b) => (a.machine < b.machine ? -1 : a.machine > b.machine ? 1 : 0))) {
    if (fault.machine !== machine) lines.push(`${lines.length > 0 ? '\n' : ''}${fault.machine}`);
    machine = fault.machine;
    lines.push(`  ${fault.name.padEnd(28)}${fault.kind.padEnd(17)}${fault.about}`);
    if (fault.signals.length > 0) lines.push(`  ${''.padEnd(45)}seen in ${fault.signals.join(', ')}`);
  }
  lines.push('', 'Switch one on: POST /v1/faults/NAME {"on": true, "severity": 0.5} at the plant’s control face.');
  return `${lines.join('\n')}\n`;
}
