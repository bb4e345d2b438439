import type { CheckIndex, ConditionIndex, EntryId, SignalIndex, ThingIndex } from '../../base/ids.ts';
import type { Location, OnlyIn } from '../../base/location.ts';

export type CheckStatus = 'ok' | 'warn' | 'crit' | 'unknown';

/** A limit in the signal's own unit: `above 7.1 mm/s`, `below 2 bar`. */
export interface Limit {
  readonly side: 'above' | 'below';
  readonly value: number;
}

/** How long a bad (or good again) reading must stand: a count, k of n, or a time. */
export type Dwell =
  | { readonly kind: 'count'; readonly n: number }
  | { readonly kind: 'of'; readonly k: number; readonly n: number }
  | { readonly kind: 'time'; readonly ms: number };

export interface CheckSpec {
  readonly index: CheckIndex;
  readonly id: EntryId;
  readonly thing: ThingIndex;
  readonly runsOn: Location;
  readonly everyMs: number;
  /** The probe itself answers within this, else the observation is UNKNOWN "timed out". */
  readonly timeoutMs: number;
  /**
   * What gives the observations. `signal`: every sample of that signal, no probe; `staleness` (crit when stale) and
   * `quality` (warn when uncertain, crit when bad) are also judged every `everyMs`. `condition`: warnWhen/critWhen are
   * judged every `everyMs`. `probe`: the core asks for `run-check` every `everyMs` and the adapter answers; its
   * parameters are the adapter's business.
   */
  readonly source:
    | { readonly kind: 'signal'; readonly signal: SignalIndex; readonly judge: 'value' | 'staleness' | 'quality' }
    | { readonly kind: 'condition' }
    | { readonly kind: 'probe'; readonly probe: unknown };
  readonly warn: Limit | undefined;
  readonly crit: Limit | undefined;
  readonly warnWhen: ConditionIndex | undefined;
  readonly critWhen: ConditionIndex | undefined;
  /** Fraction of the limit that a value must fall back before it counts as good again, e.g. 0.05. */
  readonly deadband: number;
  readonly raise: Dwell;
  readonly clear: Dwell;
  readonly onlyIn: readonly OnlyIn[];
  /** Things without which this check can say nothing, besides those that its own thing needs. */
  readonly needs?: readonly ThingIndex[] | undefined;
  /**
   * What a look costs, which decides what is shed first: nothing worth naming, a program or a database, or (unless said)
   * something between.
   */
  readonly cost?: 'none' | 'program' | undefined;
  /** Start-up grace: within this of the start of watching, or of `onlyIn` holding again, readings count as good at worst. */
  readonly graceMs: number;
}

/** What a probe (or a sample) says once. `status` from probes that judge themselves (exit codes); else from limits. */
export interface CheckObservation {
  readonly status: CheckStatus | undefined;
  readonly value: number | undefined;
  readonly text: string;
  /** Monitoring-plugin performance data, already parsed. */
  readonly perf: readonly PerfDatum[];
}

export interface PerfDatum {
  readonly label: string;
  readonly value: number | undefined;
  readonly unit: string;
  readonly warn: string | undefined;
  readonly crit: string | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
}
