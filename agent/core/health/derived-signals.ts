import type { DutyIndex, SignalIndex } from '../../base/ids.ts';
import type { Instant, WallTime } from '../../base/time.ts';
import { evaluate, type Facts } from './condition-evaluator.ts';
import { OverWindow } from './over-window.ts';
import type { Derived, Quality, Sample, SignalSpec } from './signal.ts';
import { SignalState } from './signal-state.ts';

/** Less of a window than this was seen: nobody can say what it comes to. */
const leastCoverage = 0.5;

interface Deriving {
  readonly spec: SignalSpec;
  readonly derived: Derived;
  readonly window: OverWindow | undefined;
  emittedAt: number | undefined;
  sourceTime: number;
  /** Inputs that come as often as it does, and those of them that were heard since the last time. */
  readonly prompt: ReadonlySet<SignalIndex>;
  readonly heard: Set<SignalIndex>;
}

/**
 * Signals that are reckoned from others (`formula`) or over a while (`over`): what a device says goes in, what is to be
 * believed comes out. They are signals like any other: checks, models and conditions read them, and they are reported.
 *
 * - **Resampling**: a derived signal has its own interval and follows its inputs, at most once per interval.
 * - **Alignment**: an input counts with its last reading, for as long as that is fresh. When its time has come it waits for
 *   the inputs that are due as well, half an interval at most, so that all are of one round whichever comes first.
 * - **Quality**: an input that is stale, bad or not a number makes the result bad; an uncertain one makes it uncertain. A
 *   window of which less than half was seen is bad: it says so rather than passing ten seconds off for five minutes.
 * - **Bounds**: one window per signal, of fixed size; nothing grows with time or with what devices send.
 */
export class DerivedSignals {
  readonly #state: SignalState;
  readonly #specs: readonly SignalSpec[];
  /** By input: all that hangs on it, also through others, so that inputs come before what is made of them. */
  readonly #behind = new Map<SignalIndex, readonly Deriving[]>();
  /** Windows over a signal's own readings. */
  readonly #own = new Map<SignalIndex, Deriving>();
  #now: Instant = 0 as Instant;
  readonly #facts: Facts;

  constructor(specs: readonly SignalSpec[]) {
    this.#specs = specs;
    this.#state = new SignalState(specs);
    this.#facts = this.#makeFacts();
    const ordered = inOrder(specs).map((spec): Deriving => {
      const derived = spec.derived!;
      // A reading of an input holds as long as it is fresh; of a formula as long as its own result would be.
      const holds = derived.formula === undefined ? spec.freshMs : Math.min(spec.freshMs, 3 * spec.everyMs);
      const window = derived.over && new OverWindow(derived.over, spec.everyMs, Math.max(holds, spec.everyMs));
      const prompt = new Set(derived.inputs.filter((input) => (specs[input]?.everyMs ?? 0) <= spec.everyMs));
      return { spec, derived, window, emittedAt: undefined, sourceTime: 0, prompt, heard: new Set() };
    });
    for (const one of ordered) if (one.derived.formula === undefined) this.#own.set(one.spec.index, one);
    const formulas = ordered.filter((one) => one.derived.formula !== undefined);
    for (const { index } of specs) {
      const reached = new Set<SignalIndex>([index]);
      const behind = formulas.filter(({ spec, derived }) => {
        const isBehind = derived.inputs.some((input) => reached.has(input));
        if (isBehind) reached.add(spec.index);
        return isBehind;
      });
      if (behind.length > 0) this.#behind.set(index, behind);
    }
  }

  /** A reading as the device gave it; what is to be believed in its stead, and what follows from it. */
  take(sample: Sample): readonly Sample[] {
    const own = this.#own.get(sample.signal);
    const behind = this.#behind.get(sample.signal);
    if (own === undefined && behind === undefined) return [sample];
    this.#now = sample.receiveTime;
    const out: Sample[] = [];
    const changed = new Set<SignalIndex>();
    const emit = (one: Sample) => {
      if (!this.#state.receive(one)) return;
      changed.add(one.signal);
      out.push(one);
    };
    if (own === undefined) emit(sample);
    else {
      const usable = sample.quality === 'good' || (sample.quality === 'uncertain' && own.spec.acceptUncertain);
      own.window?.add(sample.receiveTime, usable ? sample.value : undefined, sample.quality === 'uncertain');
      const made = this.#make(own, sample.sourceTime, undefined, 'good');
      if (made !== undefined) emit(made);
    }
    for (const one of behind ?? []) {
      const news = one.derived.inputs.filter((input) => changed.has(input));
      if (news.length === 0) continue;
      for (const input of news) if (one.prompt.has(input)) one.heard.add(input);
      const { value, quality } = this.#formula(one);
      one.window?.add(this.#now, value, quality === 'uncertain');
      const made = this.#make(one, this.#newest(one), value, quality);
      if (made !== undefined) emit(made);
    }
    return out;
  }

  /** Name and unit of a signal, for reports, and the duty whose holder answers for it. */
  named(
    signal: SignalIndex,
  ): { readonly name: string; readonly unit: string | undefined; readonly duty: DutyIndex } | undefined {
    const spec = this.#specs[signal];
    return spec && { name: spec.id, unit: spec.unit, duty: spec.duty };
  }

  #formula({ spec, derived }: Deriving): { value: number | undefined; quality: Quality } {
    const result = derived.formula === undefined ? undefined : evaluate(derived.formula, this.#facts);
    const value = typeof result === 'number' && Number.isFinite(result) ? result : undefined;
    const doubtful = derived.inputs.some((input) => this.#state.quality(input) === 'uncertain');
    const quality = value === undefined ? 'bad' : doubtful ? 'uncertain' : 'good';
    return { value: quality === 'uncertain' && !spec.acceptUncertain && derived.over ? undefined : value, quality };
  }

  /** The next reading of a derived signal, when its interval is over. */
  #make(one: Deriving, sourceTime: WallTime, value: number | undefined, quality: Quality): Sample | undefined {
    const { spec, window } = one;
    // A tenth of slack: inputs do not come to the millisecond. The first one is due at once.
    one.emittedAt ??= this.#now - 0.9 * spec.everyMs;
    const waited = this.#now - one.emittedAt;
    if (waited < 0.9 * spec.everyMs) return undefined;
    if (one.heard.size < one.prompt.size && waited < 1.5 * spec.everyMs) return undefined;
    one.heard.clear();
    one.emittedAt = this.#now;
    one.sourceTime = Math.max(one.sourceTime, sourceTime);
    let result = { value, quality };
    if (window !== undefined) {
      const read = window.read(this.#now);
      const isSeen = read.coverage >= leastCoverage && read.value !== undefined;
      result = {
        value: isSeen ? read.value : undefined,
        quality: !isSeen ? 'bad' : read.uncertain > 0.5 ? 'uncertain' : 'good',
      };
    }
    return {
      signal: spec.index,
      value: result.value ?? Number.NaN,
      quality: result.value === undefined ? 'bad' : result.quality,
      sourceTime: one.sourceTime as WallTime,
      receiveTime: this.#now,
    };
  }

  /** Devices have clocks of their own; what was made of several is as new as the newest. */
  #newest({ derived }: Deriving): WallTime {
    let newest = 0;
    for (const input of derived.inputs) newest = Math.max(newest, this.#state.sourceTime(input) ?? 0);
    return newest as WallTime;
  }

  #makeFacts(): Facts {
    const none = { value: undefined, why: 'not in a formula' };
    return {
      signal: (signal) => {
        const value = this.#state.value(this.#now, signal);
        return value === undefined ? { value, why: this.#state.blind(this.#now, signal) ?? 'no value' } : { value };
      },
      state: (signal) => {
        const value = this.#state.state(this.#now, signal);
        return value === undefined ? { value, why: `no state of ${this.#specs[signal]?.id ?? signal}` } : { value };
      },
      fresh: (signal) => ({ value: this.#state.isFresh(this.#now, signal) }),
      check: () => none,
      anomalous: () => none,
      score: () => none,
      forecast: () => none,
      class: () => none,
      member: () => none,
      held: () => none,
    };
  }
}

/** Derived signals, each after those that it is made of. The configuration has refused circles. */
function inOrder(specs: readonly SignalSpec[]): readonly SignalSpec[] {
  const ordered: SignalSpec[] = [];
  const seen = new Set<SignalIndex>();
  const visit = (index: SignalIndex): void => {
    const spec = specs[index];
    if (spec?.derived === undefined || seen.has(index)) return;
    seen.add(index);
    for (const input of spec.derived.inputs) visit(input);
    ordered.push(spec);
  };
  for (const { index } of specs) visit(index);
  return ordered;
}
