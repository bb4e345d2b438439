import { Random } from '../../agent/base/random.ts';

export interface PumpRecordingOptions {
  readonly rows: number;
  readonly seed: number | string;
  /** From this row on the flow sinks by eight of its spreads; default: never. */
  readonly faultFrom?: number;
  readonly faultTo?: number;
  readonly separator?: string;
  readonly labels?: boolean;
  /** Milliseconds since 1970 of the first row. */
  readonly start?: number;
}

export const pumpColumns = ['Vibration', 'Current', 'Volume Flow'] as const;

/** Healthy and faulty rows of a made-up pump: noise on three channels, the current following the flow a little. */
export function pumpRows({ rows, seed, faultFrom = rows, faultTo = rows }: PumpRecordingOptions): number[][] {
  const random = new Random(seed, 'pump');
  return Array.from({ length: rows }, (_, i) => {
    const lack = i >= faultFrom && i < faultTo ? 8 * 0.05 : 0;
    const flow = 32 + 0.05 * random.normal() - lack;
    return [0.027 + 0.001 * random.normal(), 1.2 + 0.3 * (flow - 32) + 0.02 * random.normal(), flow];
  });
}

/** The same as the text of a recording at one row per second. */
export function pumpRecording(options: PumpRecordingOptions): string {
  const { separator = ';', labels = true, start = Date.UTC(2020, 2, 9, 12), faultFrom = 0, faultTo = 0 } = options;
  const head = ['datetime', ...pumpColumns, ...(labels ? ['anomaly', 'changepoint'] : [])];
  const lines = pumpRows(options).map((row, i) => {
    const stamp = new Date(start + i * 1_000).toISOString().slice(0, 19).replace('T', ' ');
    const label = i >= faultFrom && i < faultTo ? '1.0' : '0.0';
    return [stamp, ...row, ...(labels ? [label, '0.0'] : [])].join(separator);
  });
  return `${[head.join(separator), ...lines].join('\n')}\n`;
}
