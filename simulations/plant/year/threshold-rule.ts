import { DwellLatch } from '../../../agent/core/health/dwell.ts';
import { AlarmRecord } from './alarm-record.ts';
import type { Limit, YearParameters } from './parameters.ts';

/** The plain rule: any signal beyond its limit for three rows. */
export class ThresholdRule {
  readonly alarm: AlarmRecord;
  readonly #limits: readonly (readonly [tag: string, limit: Limit])[];

  constructor(limits: Readonly<Record<string, Limit>>, given: YearParameters['threshold']) {
    this.#limits = Object.entries(limits);
    this.alarm = new AlarmRecord(
      new DwellLatch({ kind: 'count', n: given.raiseRows }, { kind: 'count', n: given.clearRows }),
    );
  }

  get tags(): readonly string[] {
    return this.#limits.map(([tag]) => tag);
  }

  /** `row` in the order of `tags`. */
  take(minute: number, row: readonly number[]): void {
    const bad = this.#limits.some(([, { above, below }], i) => {
      const value = row[i] ?? Number.NaN;
      return (above !== undefined && value > above) || (below !== undefined && value < below);
    });
    this.alarm.observe(minute, bad);
  }
}
