/** One figure of the table: what it must be, what it aims at, what it is. */
export interface Figure {
  readonly name: string;
  readonly unit: string;
  /** Which way is better. */
  readonly better: 'higher' | 'lower';
  readonly must?: number | undefined;
  readonly aim?: number | undefined;
  readonly measured: number;
}

export type Verdict = 'aim met' | 'must met' | 'MISSED' | 'aim missed' | 'told';

/** A figure that could not be measured (NaN) has missed. */
export function verdictOf({ better, must, aim, measured }: Figure): Verdict {
  const reaches = (bound: number) => (better === 'higher' ? measured >= bound : measured <= bound);
  if (must !== undefined && !reaches(must)) return 'MISSED';
  if (aim !== undefined && reaches(aim)) return 'aim met';
  if (must !== undefined) return 'must met';
  return aim === undefined ? 'told' : 'aim missed';
}

/** Of the scorer's JSON: the group's number under that name, NaN where there is none. */
export function scored(report: unknown, group: string, name: string): number {
  const groups = (report as { groups?: Record<string, Record<string, unknown>> } | undefined)?.groups;
  const value = groups?.[group]?.[name];
  return typeof value === 'number' ? value : Number.NaN;
}

/** Reports of anomaly_score.py by dataset; `thinned` by the share of rows removed. */
export interface Reports {
  readonly skab?: unknown;
  readonly nab?: unknown;
  readonly tep?: unknown;
  readonly thinned?: Readonly<Record<string, unknown>>;
  readonly plant?: unknown;
}

/** The table of figures, in its order; only what was run. */
export function figuresOf({ skab, nab, tep, thinned, plant }: Reports): readonly Figure[] {
  const figures: Figure[] = [];
  const whole = scored(skab, 'ALL', 'F1');
  if (skab !== undefined) {
    const [far, changes] = [scored(skab, 'ALL', 'FAR_pct'), scored(skab, 'ALL', 'cpNAB_standard')];
    figures.push(
      { name: 'SKAB, F1', unit: '', better: 'higher', must: 0.84, aim: 0.88, measured: whole },
      { name: 'SKAB, false alarms', unit: '%', better: 'lower', must: 15, aim: 10, measured: far },
      { name: 'SKAB, changepoint score', unit: '', better: 'higher', must: 34, aim: 45, measured: changes },
    );
  }
  for (const [share, report] of Object.entries(thinned ?? {})) {
    const lost = whole - scored(report, 'ALL', 'F1');
    figures.push({
      name: `SKAB, F1 lost with ${share} % of rows gone`,
      unit: '',
      better: 'lower',
      must: 0.03,
      aim: 0.01,
      measured: lost,
    });
  }
  if (nab !== undefined) {
    const flags = scored(nab, 'ALL', 'NAB_standard_flags');
    figures.push({ name: 'NAB, standard', unit: '', better: 'higher', must: 62, aim: 72, measured: flags });
  }
  if (tep !== undefined) {
    const found = scored(tep, 'WITHOUT_3_9_15', 'mean_FDR_pct');
    const far = scored(tep, 'WITHOUT_3_9_15', 'FAR_normal_file_pct');
    figures.push(
      { name: 'TEP, faulty rows found', unit: '%', better: 'higher', must: 92, aim: 95, measured: found },
      { name: 'TEP, false alarms', unit: '%', better: 'lower', must: 3, aim: 2, measured: far },
    );
  }
  return [...figures, ...plantFigures(plant)];
}

function plantFigures(plant: unknown): readonly Figure[] {
  if (plant === undefined) return [];
  const year = plant as { faults?: unknown[]; found?: number; leadRatio?: number; falsePerAssetMonth?: number };
  const number = (value: number | undefined) => (typeof value === 'number' ? value : Number.NaN);
  return [
    {
      name: 'plant year, faults missed',
      unit: '',
      better: 'lower',
      must: 0,
      measured: (year.faults?.length ?? Number.NaN) - number(year.found),
    },
    {
      name: 'plant year, lead over the plain threshold',
      unit: '×',
      better: 'higher',
      must: 2,
      measured: number(year.leadRatio),
    },
    {
      name: 'plant year, false alarms per asset-month',
      unit: '',
      better: 'lower',
      aim: 1,
      measured: number(year.falsePerAssetMonth),
    },
  ];
}

/** For people: one row per figure. */
export function figureTable(figures: readonly Figure[]): string {
  const sign = ({ better }: Figure) => (better === 'higher' ? '≥' : '≤');
  const bound = (figure: Figure, value: number | undefined) =>
    value === undefined ? '' : `${sign(figure)} ${value}${figure.unit && ` ${figure.unit}`}`;
  const rows = [
    ['figure', 'must', 'aim', 'measured', ''],
    ...figures.map((figure) => [
      figure.name,
      bound(figure, figure.must),
      bound(figure, figure.aim),
      Number.isNaN(figure.measured)
        ? 'not measured'
        : `${Number(figure.measured.toPrecision(4))}${figure.unit && ` ${figure.unit}`}`,
      verdictOf(figure),
    ]),
  ];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return `${rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')}\n`;
}
