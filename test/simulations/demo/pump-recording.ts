import { Random } from '../../../agent/base/random.ts';

export interface ValveRecording {
  readonly rows: number;
  /** First and last row of the stretch in which the outlet valve stands half closed; labelled as anomalous. */
  readonly closed: readonly [from: number, to: number];
  readonly labels: boolean;
}

const columns = [
  'Accelerometer1RMS',
  'Accelerometer2RMS',
  'Current',
  'Pressure',
  'Temperature',
  'Thermocouple',
  'Voltage',
  'Volume Flow RateRMS',
];

/**
 * A recording of the eight sensors at 1 Hz, made here and not by the plant's own pump: quiet noise around a healthy
 * point, then less flow against a higher pressure. The same rows with and without the two label columns.
 */
export function valveRecording({ rows, closed: [from, to], labels }: ValveRecording): string {
  const random = new Random('valve', 'recording');
  const noise = (sigma: number) => random.normal() * sigma;
  const start = Date.UTC(2020, 2, 9, 12, 14, 36);
  const lines = Array.from({ length: rows }, (_, row) => {
    const valve = row >= from && row <= to ? 1 : 0;
    const values = [
      0.0275 + 0.004 * valve + noise(0.0006),
      0.04 + 0.005 * valve + noise(0.0008),
      1.05 + 0.3 * valve + noise(0.25),
      0.3 + 0.6 * valve + noise(0.24),
      71 + noise(0.2),
      25.1 + noise(0.02),
      230 + noise(9),
      32 - 6 * valve + noise(0.15),
    ];
    const stamp = new Date(start + row * 1_000).toISOString().slice(0, 19).replace('T', ' ');
    const marks = labels ? [`${valve}.0`, row === from || row === to + 1 ? '1.0' : '0.0'] : [];
    return [stamp, ...values.map((value) => value.toPrecision(6)), ...marks].join(';');
  });
  return `${[['datetime', ...columns, ...(labels ? ['anomaly', 'changepoint'] : [])].join(';'), ...lines].join('\n')}\n`;
}
