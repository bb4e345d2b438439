import type { CampaignReport } from '../campaign/tally.ts';
import { inWords, type Names } from '../faults/fault.ts';
import type { Samples } from '../invariants/measurements.ts';
import { optionRows, type SimulationReport, type Spread, spread } from '../report.ts';
import { settleMs } from '../scenarios/scenario.ts';
import { histogram } from './histogram.ts';
import { clock, textOf } from './markup.ts';
import type { Story } from './story.ts';
import { style } from './style.ts';
import { dutiesTimeline, membersTimeline, type TimelineNames } from './timeline.ts';

export interface PageParts {
  readonly report: SimulationReport;
  /** Of the run, or of all seeds of a campaign. */
  readonly samples: Samples;
  readonly story: Story;
  readonly names?: TimelineNames | undefined;
  readonly campaign?: CampaignReport | undefined;
  readonly command: string;
  readonly title?: string | undefined;
  /** What the run is about, instead of its size. */
  readonly about?: string | undefined;
  /** A moment of the run by another name, where its clock is not the site's. */
  readonly nameOf?: ((ms: number) => string) | undefined;
  /** How what faults name by number is called. */
  readonly faultNames?: Names | undefined;
  /** More sections, already markup, before the options. */
  readonly more?: string | undefined;
}

/** One self-contained page: nothing is fetched, nothing runs; what can be seen is all there is. */
export function simulationPage(parts: PageParts): string {
  const { report, samples, story, campaign } = parts;
  const names = parts.names ?? {
    agents: Array.from({ length: report.agents }, (_, agent) => `box ${agent}`),
    duties: Array.from({ length: report.options.duties }, (_, duty) => `asset-${duty}/watch`),
  };
  const nameOf = parts.nameOf ?? clock;
  const scale = { endMs: report.virtualSeconds * 1000, name: nameOf };
  const violations = campaign?.violations ?? report.violations;
  const title =
    parts.title ??
    (campaign ? `${report.scenario}, ${campaign.seeds.run} seeds` : `${report.scenario}, seed ${report.seed}`);
  const told = campaign
    ? `<p class="soft">The run drawn below is seed ${report.seed}${campaign.seeds.failed.includes(report.seed) ? ', the first that failed' : ''}; figures and histograms are over all seeds.</p>`
    : '';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${textOf(title)} — Millwright simulation</title><style>${style}</style></head>
<body><main>
<header><h1>${textOf(title)}</h1>${verdict(violations.length)}</header>
<p class="soft">${textOf(parts.about ?? `${report.agents} agents, ${clock(report.virtualSeconds * 1000)} of virtual time${campaign ? ' per seed' : ''}.`)} The agents are the very code of production; clock, wires, disks and faults are made up from the seed.</p>
${told}
${tiles(report, campaign)}
${wrong(violations)}
<section><h2>Members</h2><p class="soft">One row per box. The colour is what the <em>others</em> believe, the line is what was true.</p>
${key([
  ['var(--up)', 'all hold it alive'],
  ['var(--suspect)', 'share that suspects it'],
  ['var(--dead)', 'share that holds it dead'],
  ['var(--ink)', 'line: it was down'],
  ['var(--frozen)', 'dotted: it was frozen'],
])}
${membersTimeline(story, names, scale)}</section>
<section><h2>Duties</h2><p class="soft">Who ran what. A lower half bar is a second runner; a red line means that nobody ran it.</p>
${dutiesTimeline(story, names, scale, settleMs)}</section>
<div class="pair even">
<section><h2>Detection</h2><p class="soft">From a crash until every survivor holds the box dead.</p>${histogram(samples.detection, 'Detection histogram')}${spreadTable(
    [
      ['known to the first', spread(samples.firstDetection)],
      ['known to all', spread(samples.detection)],
    ],
  )}</section>
<section><h2>Takeover</h2><p class="soft">From a crash until a duty of the dead box runs elsewhere.</p>${histogram(samples.takeover, 'Takeover histogram')}${spreadTable(
    [['runs elsewhere', spread(samples.takeover)]],
  )}</section>
</div>
${parts.more ?? ''}
<div class="pair">
<div><section><h2>Faults</h2>${faultTable(story, nameOf, parts.faultNames)}</section>
${rarities(campaign?.sometimes ?? report.sometimes, campaign?.neverReached ?? [])}</div>
<section><h2>Options</h2>${table(optionRows(report.options))}</section>
</div>
<section><h2>Again</h2><p class="soft">The same seed and the same code give the same run, to the last message: trace <code>${report.traceHash}</code>.</p><pre>${textOf(parts.command)}</pre></section>
<footer>Written by <code>millwright simulate --report</code>.</footer>
</main></body></html>
`;
}

const verdict = (count: number): string =>
  count === 0
    ? '<span class="verdict good">✓ all invariants held</span>'
    : `<span class="verdict bad">✕ ${count} violation${count === 1 ? '' : 's'}</span>`;

const ms = (n: number | null): string =>
  n === null ? '–' : n >= 1000 ? `${(n / 1000).toFixed(2)} s` : `${Math.round(n)} ms`;

function tiles(report: SimulationReport, campaign: CampaignReport | undefined): string {
  const of = campaign ?? report;
  const tile = (what: string, value: string, more: string): string =>
    `<div class="tile"><span>${what}</span><b>${value}</b><span>${more}</span></div>`;
  const timed = (what: string, of: Spread): string =>
    of.count === 0
      ? tile(what, '–', 'did not happen')
      : tile(what, ms(of.p50Ms), `median; p99 ${ms(of.p99Ms)}, ${of.count} ×`);
  return `<div class="tiles">${[
    timed('First to know of a crash', of.firstDetection),
    timed('All know of a crash', of.detection),
    timed('Duty taken over', of.takeover),
    tile('False deaths', String(of.falseDeaths), 'boxes declared dead that lived'),
    tile(
      'Traffic per agent',
      `${Math.round(of.bytesPerSecondPerAgent)} B/s`,
      `${of.messagesPerSecondPerAgent} messages/s`,
    ),
    campaign
      ? tile('Seeds', String(campaign.seeds.run), `${campaign.seeds.failed.length} failed`)
      : tile('Events', report.events.toLocaleString('en'), 'that happened, in one order'),
  ].join('')}</div>`;
}

function wrong(violations: readonly { atMs: number; invariant: string; text: string; seed?: number }[]): string {
  if (violations.length === 0) return '';
  const items = violations
    .slice(0, 50)
    .map(
      ({ atMs, invariant, text, seed }) =>
        `<li><b>${textOf(invariant)}</b> at ${clock(atMs)}${seed === undefined ? '' : `, seed ${seed}`}: ${textOf(text)}</li>`,
    );
  const more = violations.length > 50 ? `<p class="soft">… and ${violations.length - 50} more</p>` : '';
  return `<section class="wrong"><h2>What was broken</h2><ul>${items.join('')}</ul>${more}</section>`;
}

const key = (entries: readonly (readonly [string, string])[]): string =>
  `<div class="key">${entries.map(([color, text]) => `<span><i style="background:${color}"></i>${text}</span>`).join('')}</div>`;

export const table = (rows: readonly (readonly [string, string])[], kind = ''): string =>
  `<table${kind === '' ? '' : ` class="${kind}"`}>${rows.map(([name, value]) => `<tr><th>${textOf(name)}</th><td>${textOf(value)}</td></tr>`).join('')}</table>`;

const spreadTable = (rows: readonly (readonly [string, Spread])[]): string =>
  `<table><tr><td></td><th class="n">median</th><th class="n">p99</th><th class="n">longest</th><th class="n">times</th></tr>${rows
    .map(
      ([name, of]) =>
        `<tr><th>${name}</th><td class="n">${ms(of.p50Ms)}</td><td class="n">${ms(of.p99Ms)}</td><td class="n">${ms(of.maxMs)}</td><td class="n">${of.count}</td></tr>`,
    )
    .join('')}</table>`;

function faultTable(story: Story, nameOf: (ms: number) => string, names: Names | undefined): string {
  if (story.faults.length === 0) return '<p class="soft">None: a quiet run.</p>';
  const rows = story.faults.map((fault): [string, string] => [nameOf(fault.atMs), inWords(fault, names)]);
  if (rows.length <= 14) return table(rows, 'timed');
  return `${table(rows.slice(0, 12), 'timed')}<details><summary>${rows.length - 12} more</summary>${table(rows.slice(12, 2_000), 'timed')}</details>`;
}

function rarities(reached: Readonly<Record<string, number>>, never: readonly string[]): string {
  const rows = Object.entries(reached).map(([what, times]): [string, string] => [
    what,
    `${times.toLocaleString('en')} ×`,
  ]);
  if (rows.length + never.length === 0) return '';
  const missed = never.map((what): [string, string] => [what, 'never: nothing is said about it']);
  return `<section><h2>Reached on the way</h2><p class="soft">What a run never saw it does not test.</p>${table([...rows, ...missed])}</section>`;
}
