import type { Spread } from './figures.ts';
import type { Judged, SimulatedFigure } from './simulated.ts';
import type { Detection, Lossy, TrialResult } from './trial.ts';

/** Side by side for people: one column per product and size, one row per question. */
export function trialTable(results: readonly TrialResult[]): string {
  const ms = ({ p50, max }: Spread): string => (p50 === null ? '–' : `${seconds(p50)} / ${seconds(max ?? p50)} s`);
  const fault = (name: string, of: (result: TrialResult) => Detection | undefined): Row[] => [
    [`${name} → first survivor knows`, (result) => of(result) && ms(of(result)!.first)],
    ['  → all survivors know', (result) => of(result) && `${ms(of(result)!.all)}${missedOf(of(result)!)}`],
    ['  well again → all alive', (result) => of(result) && `${ms(of(result)!.aliveAgain)}${helpedOf(of(result)!)}`],
    ['  others held dead meanwhile', (result) => of(result) && String(of(result)!.falseDeaths)],
  ];
  const lossy = (percent: number, of: (result: TrialResult) => Lossy | undefined): Row[] => [
    [`${percent} % lost: false deaths`, (result) => of(result) && deathsOf(of(result)!)],
    ['  sent, kB/s per node', (result) => of(result) && kilo(of(result)!.bytesPerSecond)],
    ['  CPU-s per minute and node', (result) => of(result)?.cpuSecondsPerMinute.toFixed(2)],
  ];
  const rows: readonly Row[] = [
    [
      'start → all hold each other alive',
      ({ upMs, helped }) => (upMs === null ? 'never' : `${seconds(upMs)} s${helped > 0 ? ` (${helped} twice)` : ''}`),
    ],
    ['idle: CPU-s per minute and node', ({ idle }) => idle?.cpuSecondsPerMinute.toFixed(2)],
    ['  memory, PSS / RSS per node', ({ idle }) => idle && `${idle.pssMb} / ${idle.rssMb} MB`],
    ['  sent, kB/s per node', ({ idle }) => idle && kilo(idle.bytesPerSecond)],
    ['  packets/s per node', ({ idle }) => idle && String(idle.packetsPerSecond)],
    ...fault('kill -9', ({ kill }) => kill),
    ...fault('SIGSTOP', ({ stop }) => stop),
    ...fault('cable pulled', ({ cable }) => cable),
    ...lossy(10, ({ loss10 }) => loss10),
    ...lossy(25, ({ loss25 }) => loss25),
  ];
  const head = ['', ...results.map(({ product, agents }) => `${product}, ${agents}`)];
  const body = rows
    .map(([name, cell]) => [name, ...results.map((result) => cell(result))] as const)
    .filter(([, ...cells]) => cells.some((cell) => cell !== undefined))
    .map((cells) => cells.map((cell) => cell ?? ''));
  const versions = [...new Map(results.map((result) => [result.product, result])).values()].map(
    ({ product, version, how }) => `${product} ${version}: ${how}`,
  );
  const failures = results.flatMap(({ product, agents, failed }) =>
    failed === undefined ? [] : [`${product}, ${agents}: ended early: ${failed}`],
  );
  return `${[aligned([head, ...body]), 'times: median / longest', ...versions, ...failures].join('\n')}\n`;
}

type Row = readonly [name: string, cell: (result: TrialResult) => string | undefined];

const seconds = (ms: number): string => (ms / 1_000).toFixed(2);
const kilo = (bytes: number): string => (bytes / 1_000).toFixed(2);
const missedOf = ({ missed }: Detection): string => (missed === 0 ? '' : ` (${missed} missed)`);
const helpedOf = ({ helped }: Detection): string => (helped === 0 ? '' : ` (${helped} never)`);
const deathsOf = ({ falseDeaths, membersHeldDead, agentMinutes }: Lossy): string =>
  `${falseDeaths}${falseDeaths === 0 ? '' : ` (of ${membersHeldDead})`} in ${agentMinutes} min`;

/** The simulated and the real figures: what must be, what is, and whether that is enough. */
export function figureTable(figures: readonly SimulatedFigure[]): string {
  const rows = figures.flatMap(({ name, judged }) =>
    judged.map((one, index) => [index === 0 ? name : '', one.figure, shown(one.value), bound(one), one.verdict]),
  );
  return `${aligned([['', 'figure', 'is', 'must (aim)', ''], ...rows])}\n`;
}

const shown = (value: number | null): string => (value === null ? '–' : String(value));
const bound = ({ must, aim }: Judged): string =>
  must === undefined ? '' : `≤ ${must}${aim === undefined ? '' : ` (${aim})`}`;

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell + ' '.repeat(widths[column]! - [...cell].length))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
