import type { AgentIndex, BootId } from '../../base/ids.ts';

/** One life of a member, as its greetings told: its boot id, and the lowest and highest boot counter it spoke under. */
export interface Life {
  /** Undefined for a twin of our own, of which only counters are heard. */
  readonly boot: BootId | undefined;
  readonly low: number;
  readonly high: number;
}

/**
 * Who greeted us, under which boot; and the proof that two processes live under one key.
 *
 * A process whose boot counter others remember as higher jumps above what it hears (its store was lost). So when life A
 * spoke under 5, then life B under 6, and then A again under 7, A heard of B's 6: it was alive after B had started, and
 * two processes ran at once. A restart never looks like that, for the old life does not speak again; nor does a lost
 * store, which is corrected before another life follows. Both statements are kept, because people will want to see them.
 *
 * Bounded: the last `maxGreeted` members that greeted, and of each its last two lives.
 */
export class Greetings {
  /** Nearly all have one life, and then it is all that there is to remember. */
  readonly #known = new Map<AgentIndex, Life | Known>();

  get size(): number {
    return this.#known.size;
  }

  /** The life that greeted last. */
  latest(member: AgentIndex): Life | undefined {
    const known = this.#known.get(member);
    return known !== undefined && 'latest' in known ? known.latest : known;
  }

  /** Takes note of a greeting. Returns the two lives when it proves, for the first time, that both were alive at once. */
  heard(member: AgentIndex, boot: BootId, bootCounter: number): readonly [Life, Life] | undefined {
    let known = this.#known.get(member);
    if (!known) {
      if (this.#known.size >= maxGreeted) {
        const [oldest] = this.#known.keys();
        if (oldest !== undefined) this.#known.delete(oldest);
      }
      this.#known.set(member, newLife(boot, bootCounter));
      return undefined;
    }
    if (!('latest' in known)) {
      if (known.boot === boot) {
        const life = spoke(known, bootCounter);
        if (life !== known) this.#known.set(member, life);
        return undefined;
      }
      known = { latest: known, earlier: undefined, proven: false };
      this.#known.set(member, known);
    }
    const { latest, earlier } = known;
    if (latest.boot === boot) {
      known.latest = spoke(latest, bootCounter);
      return undefined;
    }
    known.earlier = latest;
    if (earlier?.boot !== boot) {
      known.latest = newLife(boot, bootCounter);
      known.proven = false;
      return undefined;
    }
    known.latest = spoke(earlier, bootCounter);
    if (known.proven || !(earlier.high < latest.high && latest.high < bootCounter)) return undefined;
    known.proven = true;
    return [known.latest, latest];
  }

  /** Whether two processes are known to have lived under this member's key. */
  isProven(member: AgentIndex): boolean {
    const known = this.#known.get(member);
    return known !== undefined && 'latest' in known && known.proven;
  }
}

/** Of a member that has lived more than once since we live. */
interface Known {
  latest: Life;
  earlier: Life | undefined;
  /** Of these two lives, once. */
  proven: boolean;
}

const spoke = (life: Life, bootCounter: number): Life =>
  bootCounter >= life.low && bootCounter <= life.high
    ? life
    : { boot: life.boot, low: Math.min(life.low, bootCounter), high: Math.max(life.high, bootCounter) };

export const maxGreeted = 256;

/** A life is told to many: agents of one process (the simulator's) hold the same object. */
const lives = new Map<BootId, Life>();
const maxLives = 8_192;

function newLife(boot: BootId, bootCounter: number): Life {
  const known = lives.get(boot);
  if (known !== undefined && known.low === bootCounter && known.high === bootCounter) return known;
  if (lives.size >= maxLives) lives.clear();
  const life: Life = { boot, low: bootCounter, high: bootCounter };
  lives.set(boot, life);
  return life;
}
