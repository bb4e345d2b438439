/** Counts of one stretch of time. */
export interface Stretch {
  /** Wall clock at its beginning, milliseconds. */
  readonly from: number;
  windows: number;
  above: number;
  /** Of those above, what somebody else saw too. */
  confirmed: number;
}

export interface TallyOptions {
  readonly stretchMs: number;
  /** Stretches for which a confirmation may still come. */
  readonly waiting: number;
  /** Stretches that count after that. */
  readonly settled: number;
  /** Windows that must be settled before a rate is believed. */
  readonly windows: number;
}

/** A fault may show in a model hours before anybody else sees it; two days then tell what is usual. */
export const tallyDefaults: TallyOptions = { stretchMs: 3_600_000, waiting: 8, settled: 48, windows: 2_000 };

export interface TallyState {
  readonly stretches: readonly Stretch[];
  readonly windows: number;
  readonly above: number;
}

export interface FalseAlarms {
  /** Share of settled windows above the threshold that nobody confirmed; undefined: too few to tell. */
  readonly rate: number | undefined;
  readonly windows: number;
}

/**
 * How often a model is wrong, as far as a box can know it. A window is a **false alarm** when its score is above the
 * threshold and nobody confirms it: no check of the same thing is warn or crit then or within the following stretches
 * (eight hours), and no person says that it was right. The rate is the share of such windows among all of the last two
 * days, those that may still be confirmed left out.
 *
 * What it cannot know: whether a silent machine was really healthy. A real fault that nobody notices for eight hours
 * counts against the model; that is why nothing is reverted on this number alone (`model-seat.ts`).
 */
export class Tally {
  readonly #options: TallyOptions;
  #stretches: Stretch[] = [];
  #windows = 0;
  #above = 0;

  constructor(options: TallyOptions = tallyDefaults, state?: TallyState) {
    this.#options = options;
    if (state === undefined) return;
    this.#stretches = state.stretches.slice(-this.#most).map((one) => ({ ...one }));
    this.#windows = state.windows;
    this.#above = state.above;
  }

  get #most(): number {
    return this.#options.waiting + this.#options.settled;
  }

  /** Since the model came: windows scored, and how many were above the threshold. */
  get totals(): { readonly windows: number; readonly above: number } {
    return { windows: this.#windows, above: this.#above };
  }

  add(now: number, above: boolean, confirmed: boolean): void {
    let last = this.#stretches[this.#stretches.length - 1];
    if (last === undefined || now >= last.from + this.#options.stretchMs || now < last.from) {
      last = { from: now, windows: 0, above: 0, confirmed: 0 };
      this.#stretches.push(last);
      if (this.#stretches.length > this.#most) this.#stretches.shift();
    }
    last.windows++;
    this.#windows++;
    if (!above) return;
    last.above++;
    this.#above++;
    if (confirmed) last.confirmed++;
  }

  /** Somebody else sees it too: all that still waits for a word is confirmed. */
  confirm(now: number): void {
    const { waiting, stretchMs } = this.#options;
    for (const stretch of this.#stretches) {
      if (stretch.from > now - (waiting + 1) * stretchMs) stretch.confirmed = stretch.above;
    }
  }

  falseAlarms(now: number): FalseAlarms {
    const { waiting, stretchMs } = this.#options;
    let windows = 0;
    let wrong = 0;
    for (const stretch of this.#stretches) {
      if (stretch.from > now - (waiting + 1) * stretchMs) continue;
      windows += stretch.windows;
      wrong += stretch.above - stretch.confirmed;
    }
    return { rate: windows >= this.#options.windows ? wrong / windows : undefined, windows };
  }

  state(): TallyState {
    return { stretches: this.#stretches, windows: this.#windows, above: this.#above };
  }
}

export interface AgreementState {
  readonly both: number;
  readonly neither: number;
  readonly onlyIncumbent: number;
  readonly onlyShadow: number;
}

/** Two models side by side on the same windows; a window counts once both have judged it. */
export class Agreement {
  #both: number;
  #neither: number;
  #onlyIncumbent: number;
  #onlyShadow: number;
  /** Verdicts that wait for the other one's, by the window's end. */
  readonly #waiting = new Map<number, { readonly shadow: boolean; readonly above: boolean }>();

  constructor(state: AgreementState = { both: 0, neither: 0, onlyIncumbent: 0, onlyShadow: 0 }) {
    this.#both = state.both;
    this.#neither = state.neither;
    this.#onlyIncumbent = state.onlyIncumbent;
    this.#onlyShadow = state.onlyShadow;
  }

  judge(end: number, shadow: boolean, above: boolean): void {
    const other = this.#waiting.get(end);
    if (other === undefined || other.shadow === shadow) {
      this.#waiting.set(end, { shadow, above });
      if (this.#waiting.size > mostWaiting) this.#waiting.delete(this.#waiting.keys().next().value ?? end);
      return;
    }
    this.#waiting.delete(end);
    const [incumbent, candidate] = shadow ? [other.above, above] : [above, other.above];
    if (incumbent && candidate) this.#both++;
    else if (incumbent) this.#onlyIncumbent++;
    else if (candidate) this.#onlyShadow++;
    else this.#neither++;
  }

  /** Windows that both judged, and the share in which they said the same. */
  get share(): { readonly windows: number; readonly agreement: number | undefined } {
    const windows = this.#both + this.#neither + this.#onlyIncumbent + this.#onlyShadow;
    return { windows, agreement: windows === 0 ? undefined : (this.#both + this.#neither) / windows };
  }

  state(): AgreementState {
    return {
      both: this.#both,
      neither: this.#neither,
      onlyIncumbent: this.#onlyIncumbent,
      onlyShadow: this.#onlyShadow,
    };
  }
}

const mostWaiting = 64;
