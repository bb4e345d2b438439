import { row, spreadText, violationLines } from '../report.ts';
import type { Job, Outcome } from './job.ts';
import type { CampaignReport } from './tally.ts';

/** A campaign for people: what was fixed, the pooled figures, what was reached, and how to play what failed. */
export const readableCampaign = {
  head(about: {
    scenario: string;
    agents: number;
    seeds: { from: number; to: number };
    durationS: number | undefined;
    loss: number | undefined;
    transport?: string | undefined;
    jobs: number;
  }): string {
    const { scenario, seeds, durationS, loss, transport, jobs } = about;
    const rows: [string, string][] = [
      ['agents', scenario.startsWith('lease') ? 'as each seed draws' : String(about.agents)],
      ['seeds', `${seeds.from} to ${seeds.to}, each draws all else`],
      ['loss', loss === undefined ? 'as each seed draws' : `${(loss * 100).toFixed(2)} %`],
      ...(transport === undefined ? [] : [['carried by', transport] as [string, string]]),
      ['duration', durationS === undefined ? 'as each seed draws' : `${durationS} s`],
      ['processes', String(jobs)],
    ];
    return `${[`scenario ${scenario}, ${seeds.to - seeds.from + 1} seeds`, '', ...rows.map(([a, b]) => row(a, b, 22))].join('\n')}\n`;
  },
  tail(report: CampaignReport, commandOf: (seed: number) => string): string {
    const lines = ['', 'figures, all seeds pooled'];
    const rows: [string, string][] = [
      ['crash known to the first', spreadText(report.firstDetection)],
      ['crash known to all', spreadText(report.detection)],
      ['duty running elsewhere', spreadText(report.takeover)],
      ['false deaths', `${report.falseDeaths} in ${(report.agentSeconds / 3600).toFixed(1)} agent-hours`],
      ['per agent', `${report.messagesPerSecondPerAgent} messages/s, ${report.bytesPerSecondPerAgent} B/s`],
      ['events', `${report.events} in ${report.cpuSeconds} CPU-seconds`],
      ['events per CPU-second', `${report.eventsPerCpuSecond} (${report.agentSecondsPerCpuSecond} agent-seconds)`],
      ['trace', `${report.traceHash} over ${report.seeds.run} seeds`],
    ];
    if (report.deterministic !== null)
      rows.push(['played twice', report.deterministic ? 'the same traces' : 'OTHER TRACES']);
    for (const [name, value] of rows) lines.push(row(name, value));
    lines.push('', 'reached on the way');
    for (const [what, times] of Object.entries(report.sometimes)) lines.push(row(what, String(times)));
    for (const what of report.neverReached) lines.push(row(what, 'NEVER: more seeds, or these say nothing of it'));
    lines.push('', ...violationLines(report.violations), '');
    if (report.seeds.failed.length > 0) {
      lines.push('seeds that failed');
      for (const seed of report.seeds.failed.slice(0, 20)) lines.push(`  ${commandOf(seed)}`);
      lines.push('');
    }
    return lines.join('\n');
  },
};

/** One run of the lease world for people. */
export const readableLeases = {
  head(job: Job, options: object): string {
    const lines = [`scenario ${job.scenario}, seed ${job.seed}`, ''];
    for (const [name, value] of Object.entries(options)) lines.push(row(name, shown(value), 22));
    return `${lines.join('\n')}\n`;
  },
  tail(outcome: Outcome, report: CampaignReport, command: string): string {
    const lines = [
      '',
      'figures',
      row('takeover after a lost box', spreadText(report.takeover)),
      row('events', `${outcome.events} (${report.eventsPerCpuSecond} per CPU-second)`),
      row('trace', outcome.traceHash),
    ];
    if (outcome.deterministic !== null)
      lines.push(row('played twice', outcome.deterministic ? 'the same trace' : 'ANOTHER TRACE'));
    lines.push('', 'reached on the way');
    for (const [what, times] of Object.entries(outcome.sometimes)) lines.push(row(what, String(times)));
    lines.push('', ...violationLines(outcome.violations), '', 'again:', `  ${command}`, '');
    return lines.join('\n');
  },
};

const shown = (value: unknown): string => {
  if (typeof value === 'number') return Number.isFinite(value) ? String(Math.round(value * 10_000) / 10_000) : 'never';
  return Array.isArray(value) ? (value.length === 0 ? 'none' : value.map(shown).join(', ')) : String(value);
};
