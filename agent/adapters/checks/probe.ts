import type { CheckObservation, CheckStatus, PerfDatum } from '../../core/health/check.ts';

/** Where the kernel's own files are; tests bring their own. */
export interface Roots {
  readonly proc: string;
  readonly sys: string;
  /** Argument vectors that stand in for programs of the box (`systemctl`, `chronyc`, `ping`), by their names. */
  readonly programs?: Readonly<Record<string, readonly string[]>>;
}

export const systemRoots: Roots = { proc: '/proc', sys: '/sys' };

/** What a probe gets besides its parameters. */
export interface ProbeContext {
  readonly roots: Roots;
  /** Time for one answer, milliseconds. Probes of the network answer a little earlier by themselves. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A probe that judges by itself: the status is its own, limits are not asked. */
export const judged = (status: CheckStatus, text: string, perf: readonly PerfDatum[] = []): CheckObservation => ({
  status,
  value: undefined,
  text,
  perf,
});

/** A probe that only measures: the core's limits judge the value. */
export const measured = (value: number, unit: string, label: string, text: string): CheckObservation => ({
  status: undefined,
  value,
  text,
  perf: [{ label, value, unit, warn: undefined, crit: undefined, min: undefined, max: undefined }],
});

/** It could not be found out. Never the same as bad. */
export const notKnown = (text: string): CheckObservation => judged('unknown', text);

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;

/** One decimal at most, and none where it says nothing. */
export const rounded = (value: number): number => Math.round(value * 10) / 10;
