import type { AgentIndex } from '../base/ids.ts';
import { quorumOf } from './leases/options.ts';
import type { EventReport } from './reporting/report.ts';

export interface MajorityFacts {
  readonly self: AgentIndex;
  state(member: AgentIndex): 'unknown' | 'alive' | 'suspect' | 'dead' | 'left';
  /** All of a cell, voters or not. */
  members(cell: string): readonly AgentIndex[];
  name(member: AgentIndex): string;
}

export type MajorityEvent = Pick<EventReport, 'name' | 'subject' | 'severity' | 'text' | 'detail'>;

/**
 * A cell without a living majority of its voters grants nothing, and only people can mend it. Said by one of those that
 * live, so that a hundred agents do not say it at once; two may, when they see it differently.
 */
export class MajorityWatch {
  readonly #facts: MajorityFacts;
  /** Cells whose voters live in too small a number, and whether it was this agent that said so. */
  readonly #lost = new Map<string, boolean>();

  constructor(facts: MajorityFacts) {
    this.#facts = facts;
  }

  /** What is new to be said of these cells. A negative voter is one that is no longer in the plan. */
  look(cells: Iterable<{ readonly id: string; readonly voters: readonly AgentIndex[] }>): MajorityEvent[] {
    const { self, state, members, name } = this.#facts;
    const lives = (agent: AgentIndex): boolean => {
      const seen = agent < 0 ? 'dead' : state(agent);
      return agent === self || (seen !== 'dead' && seen !== 'left');
    };
    const events: MajorityEvent[] = [];
    for (const { id, voters } of cells) {
      const living = voters.filter(lives);
      const needed = quorumOf(voters.length);
      const isLost = voters.length > 0 && living.length < needed;
      if (isLost === this.#lost.has(id)) continue;
      const detail = { living: living.length, needed };
      if (isLost) {
        const isMine = (living[0] ?? members(id).find(lives)) === self;
        this.#lost.set(id, isMine);
        if (!isMine) continue;
        const gone = voters
          .filter((agent) => !lives(agent))
          .map((agent) => (agent < 0 ? 'one that is gone' : name(agent)));
        const text = `${living.length} of the voters live as seen from here, ${needed} are needed (gone: ${gone.join(', ')}): nothing exclusive begins. Bring them back; are they gone for good, a person must force the next epoch: millwright site force-epoch --help`;
        events.push({ name: 'majority-lost', subject: id, severity: 'error', text, detail });
        continue;
      }
      // Who comes back does not know that it was missed.
      const hasTold = this.#lost.get(id) === true;
      this.#lost.delete(id);
      const text = 'a majority of the voters lives again';
      if (hasTold) events.push({ name: 'majority-back', subject: id, severity: 'notice', text, detail });
    }
    return events;
  }
}
