import { readFileSync } from 'node:fs';
import type { FaultName, MachineName } from '../faults.ts';

export interface Limit {
  readonly above?: number;
  readonly below?: number;
}

/** Everything that the year is drawn from and judged by; `parameters.json`, held by the hash in `frozen.json`. */
export interface YearParameters {
  readonly days: number;
  readonly stepSeconds: number;
  /** One row of the detector and of the threshold rule is the mean of so many minutes. */
  readonly rowMinutes: number;
  /** After a start nothing is judged for so long: machines warm up. */
  readonly graceMinutes: number;
  /** °C; `weather` is the deviation of what comes and goes within `weatherDays`. */
  readonly air: { mean: number; season: number; day: number; weather: number; weatherDays: number };
  readonly shifts: readonly { readonly name: string; days: number; from: number; to: number }[];
  readonly orders: {
    readonly products: number;
    readonly loadLow: number;
    readonly loadHigh: number;
    readonly meanHours: number;
    readonly leastHours: number;
    readonly changeoverMinutes: readonly [number, number];
    readonly jitter: number;
  };
  /** Relative deviations: between machines of one make, at an overhaul, per day. */
  readonly traits: { made: number; overhaul: number; wanderPerDay: number; wanderDays: number };
  readonly maintenance: { readonly everyDays: number; readonly dayHours: number };
  readonly repairHours: readonly [number, number];
  readonly faults: {
    readonly firstDay: number;
    /** How sharply a fault accelerates: k of (eᵏˣ − 1)/(eᵏ − 1), x the share of its life. */
    readonly growth: readonly [number, number];
    /** From this level on a person who goes to look sees it. */
    readonly visible: number;
    /** From onset to failure. */
    readonly days: Partial<Record<FaultName, readonly [number, number]>>;
  };
  readonly threshold: {
    readonly raiseRows: number;
    readonly clearRows: number;
    readonly limits: Record<MachineName, Readonly<Record<string, Limit>>>;
  };
  readonly detector: {
    readonly learnDays: number;
    readonly relearnDays: number;
    /** So long an alarm stands until somebody has looked at the machine. */
    readonly inspectDays: number;
    /** After a dismissed alarm the threshold is the highest score of it times `beyond`, at most the old one times `most`. */
    readonly widen: { readonly beyond: number; readonly most: number };
    /** Of models/training/kinds.ts, with its knobs. */
    readonly kind: string;
    readonly settings: Readonly<Record<string, number | string>>;
    readonly falseAlarmRate: number;
    readonly driftAllowance: number;
    readonly raise: { readonly k: number; readonly n: number };
    readonly clear: number;
  };
}

export const yearParameters = (): YearParameters =>
  JSON.parse(readFileSync(new URL('./parameters.json', import.meta.url), 'utf8'));
