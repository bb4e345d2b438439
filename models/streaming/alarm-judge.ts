export interface AlarmJudgeOptions {
  /** Evidence above this begins an event. */
  readonly limit: number;
  /** An event is over when this many rows have passed without evidence; until then, what comes belongs to it. */
  readonly quietRows: number;
  /** Every event of late raises the limit by this share of it. */
  readonly escalation: number;
  /** Rows in which a past event counts a third of what it did. */
  readonly fadeRows: number;
}

export interface AlarmJudgeState {
  readonly quiet: number;
  readonly recent: number;
  readonly peak: number;
}

/**
 * From evidence to events that a person hears of. One event is told once, however long it flickers. A stream that has
 * called often must show more to call again, because the next call is less likely to be news; the memory of that
 * fades. The alternative, a fixed rest between calls, either tells one fault many times or sleeps through the second.
 */
export class AlarmJudge {
  readonly #options: AlarmJudgeOptions;
  #quiet: number;
  #recent = 0;
  #peak = 0;

  constructor(options: AlarmJudgeOptions) {
    this.#options = options;
    this.#quiet = options.quietRows;
  }

  /** Evidence needed now. */
  get limit(): number {
    return this.#options.limit * (1 + this.#options.escalation * this.#recent);
  }

  /** An event is under way. */
  get active(): boolean {
    return this.#quiet < this.#options.quietRows;
  }

  /** The strongest evidence of the event under way; 0 without one. */
  get peak(): number {
    return this.active ? this.#peak : 0;
  }

  /** True on the row that begins an event. */
  take(evidence: number): boolean {
    this.#recent *= 1 - 1 / this.#options.fadeRows;
    this.#quiet = Math.min(this.#options.quietRows, this.#quiet + 1);
    if (evidence <= this.limit) return false;
    const begins = !this.active;
    this.#peak = begins ? evidence : Math.max(this.#peak, evidence);
    if (begins) this.#recent++;
    this.#quiet = 0;
    return begins;
  }

  state(): AlarmJudgeState {
    return { quiet: this.#quiet, recent: this.#recent, peak: this.#peak };
  }

  restore(state: AlarmJudgeState): void {
    this.#quiet = Math.min(this.#options.quietRows, state.quiet);
    this.#recent = state.recent;
    this.#peak = state.peak;
  }
}
