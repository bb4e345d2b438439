/**
 * What a controller's program does to be safe from late writers: about ten rungs. It reads a block of words (four of
 * token, two of sequence, the rest a command), takes it when (token, sequence) is above the largest pair that it ever
 * took, keeps that pair in retentive memory, and carries the command out once.
 *
 * It believes nobody: who is late is refused here, however late, whatever the writer thought when it wrote.
 */
export class TokenLadder {
  readonly #execute: (command: readonly number[]) => void;
  readonly #retentive: { mark: readonly number[] };
  /** Blocks that were above the mark, and all others. */
  taken = 0;
  refused = 0;

  /** `retentive` outlives a loss of power: hand the same object to the program's next life. */
  constructor(
    execute: (command: readonly number[]) => void,
    retentive: { mark: readonly number[] } = { mark: [0, 0, 0, 0, 0, 0] },
  ) {
    this.#execute = execute;
    this.#retentive = retentive;
  }

  /** Six words: the pair that was taken last. */
  get mark(): readonly number[] {
    return this.#retentive.mark;
  }

  scan(block: readonly number[]): void {
    const pair = block.slice(0, 6);
    const differs = pair.findIndex((word, i) => word !== this.mark[i]);
    if (pair.length < 6 || differs < 0 || pair[differs]! < this.mark[differs]!) {
      this.refused++;
      return;
    }
    this.#retentive.mark = pair;
    this.taken++;
    this.#execute(block.slice(6));
  }
}
