import type { AgentIndex, CheckIndex, ThingIndex } from '../../base/ids.ts';
import { type Instant, never } from '../../base/time.ts';

/** What of a thing the topology needs. */
export interface CausingThing {
  readonly index: ThingIndex;
  readonly agent: AgentIndex | undefined;
  /** Things that must be up for this one to be seen or to work: `needs`, and its source. */
  readonly needs?: readonly ThingIndex[] | undefined;
  /** Its reserved check `up`. */
  readonly up?: CheckIndex | undefined;
}

export interface CauseFacts {
  /** Known to be critical; doubt is no cause. */
  readonly isCrit: (check: CheckIndex) => boolean;
  readonly isDead: (agent: AgentIndex) => boolean;
}

/**
 * A dead switch explains ten dead hosts: which thing that is down stands behind what looks bad?
 *
 * A thing is down when its check `up` is critical, an agent when it is dead. The cause of a trouble is the *deepest* thing
 * that is down among all that it needs, directly or through others: of a dead feed behind a dead switch it is the feed. Only
 * what is known to be down explains anything: a doubtful cause would hide a real fault, and nobody would look for it.
 *
 * A cause that has gone still explains what was not looked at since: at the moment when the switch returns its ten hosts
 * are as they were last seen, and ten repairs would start for nothing.
 */
export class Causes {
  readonly #things: readonly CausingThing[];
  readonly #facts: CauseFacts;
  readonly #byAgent = new Map<AgentIndex, ThingIndex>();
  /** Checks that make things up or down. */
  readonly #ups = new Set<CheckIndex>();
  /** Things whose being down may explain something. */
  readonly #causing: readonly ThingIndex[];
  readonly #down = new Set<ThingIndex>();
  /** Things that came up lately, and when. */
  readonly #cameUp = new Map<ThingIndex, Instant>();

  constructor(things: readonly CausingThing[], facts: CauseFacts) {
    this.#things = things;
    this.#facts = facts;
    for (const { index, agent, up } of things) {
      if (agent !== undefined) this.#byAgent.set(agent, index);
      if (up !== undefined) this.#ups.add(up);
    }
    const needed = new Set(things.flatMap(({ needs = [] }) => needs));
    this.#causing = things.filter(({ index, up }) => up !== undefined || needed.has(index)).map(({ index }) => index);
  }

  /** Something may have gone down or come up: notes what did. */
  moved(now: Instant): void {
    for (const thing of this.#causing) {
      const isDown = this.isDown(thing);
      if (isDown) this.#cameUp.delete(thing);
      if (isDown === this.#down.has(thing)) continue;
      if (isDown) this.#down.add(thing);
      else {
        this.#down.delete(thing);
        this.#cameUp.set(thing, now);
      }
    }
  }

  /** Some cause went lately, so that what is behind it waits for a new look. */
  get isSettling(): boolean {
    return this.#cameUp.size > 0;
  }

  /** All that went is history. */
  settled(): void {
    this.#cameUp.clear();
  }

  /** Whether this check makes a thing up or down. */
  isUp(check: CheckIndex): boolean {
    return this.#ups.has(check);
  }

  isDown(thing: ThingIndex): boolean {
    const one = this.#things[thing];
    if (one === undefined) return false;
    if (one.agent !== undefined) return this.#facts.isDead(one.agent);
    return one.up !== undefined && this.#facts.isCrit(one.up);
  }

  /** It is down, or came up only after `seenAt`. */
  explains(thing: ThingIndex, seenAt: Instant = never): boolean {
    if (this.isDown(thing)) return true;
    const at = this.#cameUp.get(thing);
    return at !== undefined && seenAt <= at;
  }

  /**
   * The deepest thing that is down among these and all that they need; undefined: nothing of it is. `seenAt`: when that was
   * last looked at which is to be explained.
   */
  behind(things: readonly ThingIndex[], seenAt: Instant = never): ThingIndex | undefined {
    const seen = new Set<ThingIndex>();
    const look = (thing: ThingIndex): ThingIndex | undefined => {
      // The configuration refuses circles; what comes here is data all the same.
      if (seen.has(thing)) return undefined;
      seen.add(thing);
      for (const need of this.#things[thing]?.needs ?? []) {
        const deeper = look(need);
        if (deeper !== undefined) return deeper;
      }
      return this.explains(thing, seenAt) ? thing : undefined;
    };
    for (const thing of things) {
      const found = look(thing);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** What stands behind a thing, itself left out. */
  behindThing(thing: ThingIndex, seenAt: Instant = never): ThingIndex | undefined {
    return this.behind(this.#things[thing]?.needs ?? [], seenAt);
  }

  behindAgent(agent: AgentIndex, seenAt: Instant = never): ThingIndex | undefined {
    const thing = this.#byAgent.get(agent);
    return thing === undefined ? undefined : this.behindThing(thing, seenAt);
  }

  upOf(thing: ThingIndex): CheckIndex | undefined {
    return this.#things[thing]?.up;
  }
}
