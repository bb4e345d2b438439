/** Standard error as progress needs it. */
export interface ProgressEdge {
  readonly err: (text: string) => void;
  /** A terminal: the line is drawn again in place. Else a line is written now and then. */
  readonly isTerminal?: boolean | undefined;
  /** Milliseconds, for the rhythm and for what is left; never part of a run. */
  readonly wallMs?: () => number;
}

const drawEveryMs = 100;
const sayEveryMs = 5_000;

/** One line about long work, in a rhythm that a terminal and a log can both bear. */
export class Progress {
  readonly #edge: ProgressEdge;
  readonly #wallMs: () => number;
  readonly #began: number;
  #last: number;
  #width = 0;

  constructor(edge: ProgressEdge) {
    this.#edge = edge;
    this.#wallMs = edge.wallMs ?? (() => performance.now());
    this.#began = this.#wallMs();
    this.#last = this.#began;
  }

  /** `share` done, 0 … 1, and what to say beside it. */
  at(share: number, text: string): void {
    const now = this.#wallMs();
    if (now - this.#last < (this.#edge.isTerminal ? drawEveryMs : sayEveryMs)) return;
    this.#last = now;
    const spent = now - this.#began;
    const left = share > 0.01 ? `, ${span((spent / share) * (1 - share))} left` : '';
    if (!this.#edge.isTerminal) {
      this.#edge.err(`${Math.floor(share * 100)} %  ${text}${left}\n`);
      return;
    }
    const filled = Math.round(Math.min(1, share) * barWidth);
    this.#draw(`[${'█'.repeat(filled)}${'·'.repeat(barWidth - filled)}] ${text}${left}`);
  }

  end(text: string): void {
    if (this.#edge.isTerminal) this.#draw(text);
    this.#edge.err(this.#edge.isTerminal ? '\n' : `${text}\n`);
  }

  #draw(line: string): void {
    this.#edge.err(`\r${line.padEnd(this.#width)}`);
    this.#width = line.length;
  }
}

const barWidth = 24;
const span = (ms: number): string => (ms < 90_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.ceil(ms / 60_000)} min`);
