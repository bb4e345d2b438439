import type { AlarmIndex, BootId, ConditionIndex, ThingIndex } from '../../base/ids.ts';
import type { Location } from '../../base/location.ts';
import { after, type Instant, instant, never, type WallTime } from '../../base/time.ts';
import type { Truth } from '../../base/truth.ts';
import type { AlarmSpec } from './alarm.ts';
import type { AlarmTransition } from './report.ts';

/**
 * After a start, an alarm that stood in the last life waits this long for its duty to come back before it is held for
 * somebody else's. Longer than any takeover, shorter than anybody's patience with a horn.
 */
const orphanMs = 60_000;

/** The durable row behind an alarm; what a box shows when nobody else can be reached. */
export interface AlarmRow {
  readonly alarm: AlarmIndex;
  readonly alarmId: string;
  readonly state: 'on' | 'off';
  readonly occurrence: string;
  readonly term: number;
  readonly firstSampleAt: WallTime;
  readonly since: WallTime;
  readonly evidence: string;
}

export interface AlarmFacts {
  truth(condition: ConditionIndex): Truth;
  times(condition: ConditionIndex): { readonly firstBadAt: Instant; readonly conditionAt: Instant };
  evidence(condition: ConditionIndex): string;
  runsHere(location: Location): boolean;
  wallAt(at: Instant): WallTime;
  /** Takeovers of this location so far, as far as anybody here knows. */
  term(location: Location): number;
  /** Name of a thing. */
  thing(thing: ThingIndex): string;
  /** The thing that is down and explains what this condition sees amiss. */
  cause?(condition: ConditionIndex): ThingIndex | undefined;
  /** The maintenance that a thing is in. */
  maintenance?(thing: ThingIndex): string | undefined;
}

export interface AlarmsOptions {
  readonly alarms: readonly AlarmSpec[];
  readonly identity: { readonly boot: BootId };
  readonly restored: readonly {
    readonly alarmId: string;
    readonly occurrence: string;
    readonly term: number;
    readonly since: WallTime;
    readonly firstSampleAt: WallTime;
  }[];
  readonly facts: AlarmFacts;
}

export type AlarmOutput =
  | { readonly kind: 'alarm-changed'; readonly local: AlarmRow; readonly transition: AlarmTransition }
  | {
      readonly kind: 'run-hook';
      readonly alarm: AlarmIndex;
      readonly argv: readonly string[];
      readonly transition: 'raised' | 'cleared';
    };

interface State {
  readonly spec: AlarmSpec;
  here: boolean;
  /** The process part: stands or not. Doubt never changes it. */
  on: boolean;
  /** What was last said upward; undefined: nothing in this term. */
  said: AlarmTransition['state'] | undefined;
  term: number;
  occurrence: string;
  firstSampleAt: WallTime;
  since: WallTime;
  evidence: string;
  /** Raised by a workflow that failed, and not cleared since. */
  forced: string | undefined;
  /** Nobody could judge since then. */
  blindSince: Instant | undefined;
  /** From the last life, and not yet ours again. */
  orphanedAt: Instant | undefined;
  /** As last said: what explains it, and what holds it back. */
  behind: string | undefined;
  held: string | undefined;
  /** The light burns, the horn blows. */
  hooked: boolean;
}

/**
 * The reporter's side of alarms: for each alarm that runs here one register `{term, on | off | bad, occurrence}`.
 *
 * Stance: rather twice than never. A condition that cannot be judged keeps what stands, and after `blindAfterMs` says
 * so (`bad`): a broken sensor clears nothing. Nobody clears for another: who loses the duty takes its own light down
 * and tells upward only that it cannot judge any more; the successor says on or off under a higher term, which counts.
 *
 * The durable row and the report are put out before the hook: a horn that blows for something that no record knows
 * is worse than one that blows a millisecond later.
 */
export class Alarms {
  readonly #facts: AlarmFacts;
  readonly #boot: BootId;
  readonly #states: readonly State[];
  readonly #ofCondition = new Map<ConditionIndex, State[]>();
  #occurrences = 0;

  constructor({ alarms, identity, restored, facts }: AlarmsOptions) {
    this.#facts = facts;
    this.#boot = identity.boot;
    this.#states = alarms.map((spec) => {
      const last = restored.find((row) => row.alarmId === spec.alarmId);
      return {
        spec,
        here: false,
        on: last !== undefined,
        said: undefined,
        term: last?.term ?? 0,
        occurrence: last?.occurrence ?? '',
        firstSampleAt: last?.firstSampleAt ?? (0 as WallTime),
        since: last?.since ?? (0 as WallTime),
        evidence: last === undefined ? '' : 'stood before the restart',
        forced: last !== undefined && spec.when === undefined ? 'stood before the restart' : undefined,
        blindSince: undefined,
        orphanedAt: undefined,
        behind: undefined,
        held: undefined,
        // Rather taken down once too often than left burning.
        hooked: last !== undefined,
      };
    });
    for (const state of this.#states) {
      if (state.spec.when === undefined) continue;
      const list = this.#ofCondition.get(state.spec.when);
      if (list === undefined) this.#ofCondition.set(state.spec.when, [state]);
      else list.push(state);
    }
  }

  start(now: Instant, out: AlarmOutput[]): void {
    for (const state of this.#states) if (state.on) state.orphanedAt = now;
    this.locationsChanged(now, out);
  }

  conditionChanged(now: Instant, condition: ConditionIndex, _truth: Truth, out: AlarmOutput[]): void {
    for (const state of this.#ofCondition.get(condition) ?? []) this.#judge(now, state, out);
  }

  /** A workflow could not mend it. Stands until `clear`, whatever its own condition says. */
  raise(now: Instant, alarm: AlarmIndex, why: string, out: AlarmOutput[]): void {
    const state = this.#states[alarm];
    if (state === undefined) return;
    state.forced = why;
    // The repair ran here, so it is told from here, even if the alarm's own place is another box by now.
    if (!state.here && !state.on) state.term = Math.max(this.#facts.term(state.spec.runsOn), state.term + 1);
    this.#judge(now, state, out, true);
  }

  clear(now: Instant, alarm: AlarmIndex, out: AlarmOutput[]): void {
    const state = this.#states[alarm];
    if (state === undefined || state.forced === undefined) return;
    state.forced = undefined;
    this.#judge(now, state, out, state.on);
  }

  locationsChanged(now: Instant, out: AlarmOutput[]): void {
    for (const state of this.#states) {
      const here = this.#facts.runsHere(state.spec.runsOn);
      if (here && state.here && state.spec.runsOn.on === 'holder') this.#keepUp(now, state, out);
      if (here === state.here) continue;
      state.here = here;
      if (here) {
        const term = this.#facts.term(state.spec.runsOn);
        state.term = state.spec.runsOn.on === 'holder' ? Math.max(term, state.term + 1) : term;
        state.said = undefined;
        state.orphanedAt = undefined;
        this.#judge(now, state, out);
      } else this.#yield(now, state, out);
    }
  }

  /** Another runner had a higher term for a while, and it was us who went on: our register must outrank its last word. */
  #keepUp(now: Instant, state: State, out: AlarmOutput[]): void {
    const term = this.#facts.term(state.spec.runsOn);
    if (term <= state.term) return;
    state.term = term;
    state.said = undefined;
    this.#judge(now, state, out);
  }

  tick(now: Instant, out: AlarmOutput[]): void {
    for (const state of this.#states) {
      if (state.orphanedAt !== undefined && after(state.orphanedAt, orphanMs) <= now) this.#yield(now, state, out);
      if (state.blindSince !== undefined) this.#judge(now, state, out);
    }
  }

  deadline(): Instant {
    let next: number = never;
    for (const state of this.#states) {
      if (state.orphanedAt !== undefined) next = Math.min(next, state.orphanedAt + orphanMs);
      if (state.blindSince !== undefined && state.said !== 'bad') {
        next = Math.min(next, state.blindSince + state.spec.blindAfterMs);
      }
    }
    return instant(next);
  }

  /** What stands on this box now. */
  standing(): readonly AlarmRow[] {
    return this.#states.filter((state) => state.on).map(row);
  }

  /** Every standing alarm and every blind one once more, for a coordinator that has just come back. */
  republish(): readonly AlarmTransition[] {
    return this.#states
      .filter((state) => state.here && state.said !== undefined && state.said !== 'off')
      .map((state) => this.#transition(state, state.said ?? 'on'));
  }

  #judge(now: Instant, state: State, out: AlarmOutput[], away = false): void {
    if (!state.here && !away) return;
    const { spec } = state;
    const truth =
      state.forced !== undefined ? 'true' : spec.when === undefined ? 'false' : this.#facts.truth(spec.when);
    if (truth === 'unknown') {
      state.blindSince ??= now;
      if (state.said === 'bad' || now < after(state.blindSince, spec.blindAfterMs)) return;
      if (spec.when !== undefined) state.evidence = this.#facts.evidence(spec.when);
      // Without an occurrence of its own: what nobody sees is not a new one.
      if (!state.on) state.since = this.#facts.wallAt(state.blindSince);
      this.#say(state, 'bad', out);
      return;
    }
    state.blindSince = undefined;
    const on = truth === 'true';
    const was = state.on;
    if (on && !was) {
      const times = spec.when === undefined || state.forced !== undefined ? undefined : this.#facts.times(spec.when);
      state.occurrence = `${this.#boot.slice(0, 8)}-${++this.#occurrences}`;
      state.firstSampleAt = this.#facts.wallAt(times?.firstBadAt ?? now);
      state.since = this.#facts.wallAt(times?.conditionAt ?? now);
    }
    const evidence = state.forced ?? (spec.when === undefined ? '' : this.#facts.evidence(spec.when));
    if (on || was) state.evidence = evidence;
    state.on = on;
    if (!on && was) state.since = this.#facts.wallAt(now);
    const said = on ? 'on' : 'off';
    const { behind, held } = this.#setAside(state);
    const isNews = state.said !== said || (on && (behind !== state.behind || held !== state.held));
    if (isNews) this.#say(state, said, out);
    // What something else explains, or what people are at work on, is shown and makes no noise.
    this.#hook(state, on && behind === undefined && held === undefined, out);
  }

  /** A cause came or went, or a maintenance: what stands is said again where it is set aside otherwise than before. */
  review(now: Instant, out: AlarmOutput[]): void {
    for (const state of this.#states) {
      if (!state.here || state.said === undefined || state.said === 'off') continue;
      if (state.said === 'on') this.#judge(now, state, out);
      else {
        const { behind, held } = this.#setAside(state);
        if (behind !== state.behind || held !== state.held) this.#say(state, 'bad', out);
      }
    }
  }

  /** What explains an alarm now, and what holds it back, for the status view. */
  setAside(alarm: AlarmIndex): { readonly behind: string | undefined; readonly held: string | undefined } {
    const { behind, held } = this.#states[alarm] ?? {};
    return { behind, held };
  }

  #setAside({ spec }: State): { behind: string | undefined; held: string | undefined } {
    const cause = spec.when === undefined || spec.neverFolds === true ? undefined : this.#facts.cause?.(spec.when);
    const behind = cause === undefined ? undefined : this.#facts.thing(cause);
    return { behind, held: this.#facts.maintenance?.(spec.thing) };
  }

  /** Somebody else's now: our row and our light go; our register says that we cannot judge, which clears nothing. */
  #yield(_now: Instant, state: State, out: AlarmOutput[]): void {
    state.orphanedAt = undefined;
    state.blindSince = undefined;
    state.forced = undefined;
    state.said = undefined;
    if (!state.on) return;
    state.on = false;
    state.evidence = 'judged on another box now';
    out.push({ kind: 'alarm-changed', local: row(state), transition: this.#transition(state, 'bad') });
    this.#hook(state, false, out);
  }

  #say(state: State, said: AlarmTransition['state'], out: AlarmOutput[]): void {
    state.said = said;
    const { behind, held } = said === 'off' ? { behind: undefined, held: undefined } : this.#setAside(state);
    state.behind = behind;
    state.held = held;
    out.push({ kind: 'alarm-changed', local: row(state), transition: this.#transition(state, said) });
  }

  #hook(state: State, on: boolean, out: AlarmOutput[]): void {
    if (state.hooked === on) return;
    state.hooked = on;
    const { spec } = state;
    if (spec.local === undefined || spec.local.length === 0) return;
    out.push({ kind: 'run-hook', alarm: spec.index, argv: spec.local, transition: on ? 'raised' : 'cleared' });
  }

  #transition(state: State, said: AlarmTransition['state']): AlarmTransition {
    const { spec } = state;
    return {
      type: 'alarm',
      alarmId: spec.alarmId,
      thing: this.#facts.thing(spec.thing),
      name: spec.id.slice(spec.id.lastIndexOf('/') + 1),
      state: said,
      term: state.term,
      occurrence: state.occurrence,
      priority: spec.priority,
      cause: spec.cause,
      consequence: spec.consequence,
      response: spec.response,
      respondWithinMs: spec.respondWithinMs,
      firstSampleAt: state.firstSampleAt,
      since: state.since,
      evidence: state.evidence,
      ...(state.behind === undefined ? {} : { behind: state.behind }),
      ...(state.held === undefined ? {} : { held: state.held }),
    };
  }
}

const row = (state: State): AlarmRow => ({
  alarm: state.spec.index,
  alarmId: state.spec.alarmId,
  state: state.on ? 'on' : 'off',
  occurrence: state.occurrence,
  term: state.term,
  firstSampleAt: state.firstSampleAt,
  since: state.since,
  evidence: state.evidence,
});
