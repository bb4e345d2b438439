import { describeFault } from './faults/fault.ts';
import type { Violation } from './invariants/invariants.ts';
import type { ScenarioOptions } from './scenarios/scenario.ts';
import type { NetworkOptions } from './world/network.ts';

/** Milliseconds; undefined where nothing was measured. */
export interface Spread {
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

export interface SimulationReport {
  readonly scenario: string;
  readonly agents: number;
  readonly seed: number;
  readonly options: ScenarioOptions;
  readonly violations: readonly Violation[];
  /** From a crash until every survivor holds the box dead, one figure per crash. */
  readonly detection: Spread;
  /** From a crash until the first survivor does. */
  readonly firstDetection: Spread;
  /** From a crash until a duty of the dead box runs elsewhere, one figure per duty. */
  readonly takeover: Spread;
  /** Boxes declared dead that were up and reachable. */
  readonly falseDeaths: number;
  /** Remediation runs that ended HEALED. */
  readonly healed: number;
  /** Runs that a person stopped. */
  readonly stopped: number;
  /** How often rare states were reached. */
  readonly sometimes: Readonly<Record<string, number>>;
  /** Over the whole run and all that the mesh says. */
  readonly bytesPerSecondPerAgent: number;
  readonly messagesPerSecondPerAgent: number;
  /** The failure detector alone. */
  readonly membershipBytesPerSecondPerAgent: number;
  readonly membershipMessagesPerSecondPerAgent: number;
  readonly virtualSeconds: number;
  readonly events: number;
  /** Undefined where no processor clock was handed in. */
  readonly eventsPerCpuSecond: number | null;
  readonly agentSecondsPerCpuSecond: number | null;
  /** Inputs and effects in the chain. */
  readonly traced: number;
  readonly traceHash: string;
  readonly deterministic: boolean | null;
}

export function spread(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (q: number) =>
    sorted.length === 0 ? null : round(sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!);
  return {
    count: sorted.length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: sorted.length === 0 ? null : round(sorted[sorted.length - 1]!),
  };
}

const round = (n: number): number => Math.round(n * 10) / 10;

/** For people: the option table first, so that it stands there before a long run ends; then what came of it. */
export const readable = {
  head(scenario: string, seed: number, options: ScenarioOptions): string {
    const lines: string[] = [`scenario ${scenario}, seed ${seed}`, ''];
    for (const [name, value] of optionRows(options)) lines.push(row(name, value, 22));
    lines.push('', 'what happens');
    for (const fault of options.faults.slice(0, 40)) lines.push(`  ${describeFault(fault)}`);
    if (options.faults.length > 40) lines.push(`  … and ${options.faults.length - 40} more`);
    if (options.faults.length === 0) lines.push('  nothing');
    return `${lines.join('\n')}\n`;
  },
  tail(report: SimulationReport): string {
    const lines = ['', 'figures'];
    for (const [name, value] of figureRows(report)) lines.push(row(name, value));
    const reached = Object.entries(report.sometimes);
    if (reached.length > 0) lines.push('', 'reached on the way');
    for (const [what, times] of reached) lines.push(row(what, String(times)));
    lines.push('', ...violationLines(report.violations), '');
    return lines.join('\n');
  },
};

export const row = (name: string, value: string, width = 36): string => `  ${name.padEnd(width)} ${value}`;

export function violationLines(violations: readonly (Violation & { readonly seed?: number })[]): string[] {
  if (violations.length === 0) return ['all invariants held'];
  const lines = [violations.length === 1 ? '1 violation' : `${violations.length} violations`];
  for (const { atMs, invariant, text, seed } of violations.slice(0, 20)) {
    lines.push(`  ${seed === undefined ? '' : `seed ${seed}  `}${(atMs / 1000).toFixed(3)} s  ${invariant}: ${text}`);
  }
  if (violations.length > 20) lines.push(`  … and ${violations.length - 20} more`);
  return lines;
}

/** `p50 12 ms, p99 …`, or "none" where nothing was measured. */
export const spreadText = ({ count, p50Ms, p99Ms, maxMs }: Spread): string =>
  count === 0 ? 'none' : `p50 ${p50Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms (${count})`;

export function optionRows(options: ScenarioOptions): readonly [string, string][] {
  const { network } = options;
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  return [
    ['agents', String(options.agents)],
    ['duties', String(options.duties)],
    ['of them exclusive', options.exclusive ? `${options.exclusive}, up to ${options.voters ?? 3} voters` : 'none'],
    [
      'boxes to repair',
      `${options.repairs}${options.permits === undefined ? '' : `, ${options.permits} at once by permit`}`,
    ],
    ['duration', `${options.durationS} s`],
    ['latency', `${network.latencyMs.toFixed(2)} ms, tail ${network.jitterMs.toFixed(2)} ms`],
    ...carriedBy(network),
    ['loss', percent(network.loss)],
    ['duplication', percent(network.duplication)],
    ['reordering', percent(network.reordering)],
    ['stalls', `${percent(network.stalls)} of ${network.stallMs} ms`],
    ['clock drift', `up to ${(options.clockDrift * 1e6).toFixed(0)} ppm`],
    ['disk', `${options.diskMs.toFixed(1)} ms`],
    ['duty start', `${options.dutyStartMs.toFixed(0)} ms, fails in ${percent(options.dutyFailure)}`],
    [
      'detector',
      Object.keys(options.membership).length === 0 ? 'lan' : `lan with ${JSON.stringify(options.membership)}`,
    ],
    ['faults', String(options.faults.length)],
  ];
}

export function figureRows(report: SimulationReport): readonly [string, string][] {
  const rows: [string, string][] = [
    ['crash known to the first', spreadText(report.firstDetection)],
    ['crash known to all', spreadText(report.detection)],
    ['duty running elsewhere', spreadText(report.takeover)],
    ['false deaths', String(report.falseDeaths)],
    ['runs that healed', String(report.healed)],
    ['per agent', `${report.messagesPerSecondPerAgent} messages/s, ${report.bytesPerSecondPerAgent} B/s`],
    [
      '  of it the failure detector',
      `${report.membershipMessagesPerSecondPerAgent} messages/s, ${report.membershipBytesPerSecondPerAgent} B/s`,
    ],
    ['events', `${report.events} in ${report.virtualSeconds} s of virtual time`],
  ];
  if (report.eventsPerCpuSecond !== null) {
    rows.push([
      'events per CPU-second',
      `${report.eventsPerCpuSecond} (${report.agentSecondsPerCpuSecond} agent-seconds)`,
    ]);
  }
  rows.push(['trace', `${report.traceHash} over ${report.traced} inputs and effects`]);
  if (report.deterministic !== null)
    rows.push(['played twice', report.deterministic ? 'the same trace' : 'ANOTHER TRACE']);
  return rows;
}

/** What carries messages, where it is said: in recordings of former times it is not. */
function carriedBy({ transport, datagrams = true }: NetworkOptions): [string, string][] {
  if (transport === undefined) return [];
  const beside = transport === 'messages' || datagrams ? '' : ', nothing beside the streams';
  return [['carried by', `${transport}${beside}`]];
}
