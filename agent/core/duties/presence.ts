import type { AgentIndex } from '../../base/ids.ts';
import { after, type Instant } from '../../base/time.ts';
import type { AgentPlace } from './duty.ts';
import type { DutyOptions } from './options.ts';

/** Membership's words for a member; spelled here because the parts of the core do not import each other. */
export type MemberStateWord = 'unknown' | 'alive' | 'suspect' | 'dead' | 'left';

/**
 * What placement makes of membership's word: who came back lately and waits, which cell is in a storm, and whether it
 * was rather we who were away. Work moves because of a view, so a view that flaps must not move it.
 *
 * A returning agent gets nothing for a while that doubles with each flap. From inside nobody can tell whether the others
 * were away or oneself, so an agent to whom half of the others were dead counts as returned too.
 *
 * Not guaranteed: that all agents see the same. This delays and orders; it never forbids for good.
 */
export class Presence {
  readonly #agents: readonly AgentPlace[];
  readonly #self: AgentIndex;
  readonly #options: DutyOptions;
  readonly #sizes: ReadonlyMap<string, number>;
  /** Members that were ever missed: at most one record each. */
  readonly #records = new Map<AgentIndex, Record>();
  /** Somebody was missed once. Else a claim, which is heard all the time, need not look there. */
  #hasRecords = false;
  readonly #storms = new Map<string, Storm>();
  readonly #own: Hold = { flaps: 0, since: 0 as Instant, until: 0 as Instant };
  #gone = 0;
  #isAway = false;

  constructor(agents: readonly AgentPlace[], self: AgentIndex, options: DutyOptions) {
    this.#agents = agents;
    this.#self = self;
    this.#options = options;
    this.#sizes = sizesOf(agents);
  }

  /** A later life begins. `returns`: how many others began not long before it. */
  began(now: Instant, returns: number): void {
    this.#own.flaps = Math.min(maxFlaps, returns);
    this.#hold(now, this.#own);
  }

  /** Membership changed its mind on a member other than ourselves. */
  changed(now: Instant, member: AgentIndex, to: MemberStateWord): void {
    if (to === 'dead' || to === 'left') {
      const record = this.#record(member);
      if (record.gone === undefined) this.#gone++;
      record.gone = { how: to, at: now };
      if (to === 'dead') this.missed(now, member);
      // Who says goodbye has given its work to others: an update of all boxes is no storm.
      else this.#found(member, record);
      if (this.#gone * 2 < this.#agents.length - 1) this.#isAway = false;
      return;
    }
    // Who was never missed has no record: in a large site nearly all.
    const record = to === 'alive' ? this.#records.get(member) : undefined;
    if (record?.gone !== undefined) {
      if (this.#gone * 2 >= this.#agents.length - 1 && !this.#isAway) {
        this.#isAway = true;
        this.#hold(now, this.#own);
      }
      this.#gone--;
      record.gone = undefined;
      this.#hold(now, record.hold);
      this.#found(member, record);
    }
  }

  /** It is dead, or fell silent with work in its hands. Counts towards a storm of its cell, once until it is heard. */
  missed(now: Instant, member: AgentIndex): void {
    const record = this.#record(member);
    if (record.isMissed) return;
    record.isMissed = true;
    const storm = this.#storm(member);
    const { stormWatchMs, stormPauseMs, stormShare } = this.#options;
    storm.missed = storm.missed.filter(({ at }) => now - at <= stormWatchMs);
    storm.missed.push({ member, at: now });
    const size = this.#sizes.get(this.#cell(member)) ?? 0;
    if (storm.missed.length < stormLeast || storm.missed.length <= size * stormShare) return;
    if (storm.until <= now) storm.until = after(now, stormPauseMs);
  }

  /** It speaks: whatever it was missed for is over. */
  heard(member: AgentIndex): void {
    const record = this.#hasRecords ? this.#records.get(member) : undefined;
    if (record?.isMissed === true && record.gone === undefined) this.#found(member, record);
  }

  /** When the work of this missed member may be taken over, as far as its cell's storm goes. */
  takeoverAt(now: Instant, lost: AgentIndex, isCritical: boolean): Instant {
    const storm = this.#storms.get(this.#cell(lost));
    if (storm === undefined || isCritical) return 0 as Instant;
    if (storm.until > now) return storm.until;
    // Two within the watch may be the first of many: as long as one follows the other closely, look on.
    const first = storm.missed[0];
    const last = storm.missed.at(-1);
    if (first === undefined || last === undefined || storm.missed.length < 2) return 0 as Instant;
    return Math.min(after(last.at, this.#options.debounceMs), after(first.at, gatherMaxMs)) as Instant;
  }

  /** Until when a cell's work stays where it is; in the past when there is no storm. */
  stormUntil(cell: string): Instant {
    return this.#storms.get(cell)?.until ?? (0 as Instant);
  }

  /** The hold of a member that returned, ours included; undefined when it waits for nothing. */
  hold(now: Instant, member: AgentIndex): Pick<Hold, 'since' | 'until'> | undefined {
    const hold = member === this.#self ? this.#own : this.#records.get(member)?.hold;
    return hold !== undefined && hold.until > now ? hold : undefined;
  }

  /** Since when a member is dead or left, by our own clock. */
  gone(member: AgentIndex): { readonly how: 'dead' | 'left'; readonly at: Instant } | undefined {
    return this.#records.get(member)?.gone;
  }

  #record(member: AgentIndex): Record {
    let record = this.#records.get(member);
    if (record === undefined) {
      record = { gone: undefined, isMissed: false, hold: { flaps: 0, since: 0 as Instant, until: 0 as Instant } };
      this.#records.set(member, record);
      this.#hasRecords = true;
    }
    return record;
  }

  #found(member: AgentIndex, record: Record): void {
    record.isMissed = false;
    const storm = this.#storms.get(this.#cell(member));
    if (storm !== undefined) storm.missed = storm.missed.filter((miss) => miss.member !== member);
  }

  #hold(now: Instant, hold: Hold): void {
    const { returnHoldMs, returnHoldMaxMs } = this.#options;
    if (hold.until > 0 && now - hold.until > returnHoldMaxMs) hold.flaps = 0;
    hold.since = now;
    hold.until = after(now, Math.min(returnHoldMaxMs, returnHoldMs * 2 ** hold.flaps));
    hold.flaps = Math.min(maxFlaps, hold.flaps + 1);
  }

  #storm(member: AgentIndex): Storm {
    const cell = this.#cell(member);
    let storm = this.#storms.get(cell);
    if (storm === undefined) {
      storm = { missed: [], until: 0 as Instant };
      this.#storms.set(cell, storm);
    }
    return storm;
  }

  #cell(member: AgentIndex): string {
    return this.#agents[member]?.cell ?? '';
  }
}

interface Hold {
  flaps: number;
  since: Instant;
  until: Instant;
}

interface Record {
  gone: { readonly how: 'dead' | 'left'; readonly at: Instant } | undefined;
  isMissed: boolean;
  readonly hold: Hold;
}

interface Storm {
  /** Who was missed within the watch, in order; at most the cell's members. */
  missed: { readonly member: AgentIndex; readonly at: Instant }[];
  until: Instant;
}

/** How many live in each cell: a function of the plan, shared by all agents of one process. */
const sizes = new WeakMap<readonly AgentPlace[], ReadonlyMap<string, number>>();

function sizesOf(agents: readonly AgentPlace[]): ReadonlyMap<string, number> {
  const known = sizes.get(agents);
  if (known !== undefined) return known;
  const counted = new Map<string, number>();
  for (const { cell } of agents) counted.set(cell, (counted.get(cell) ?? 0) + 1);
  sizes.set(agents, counted);
  return counted;
}

/** One box or two are an everyday fault, however small the cell. */
const stormLeast = 3;
/** Losses that follow each other closely hold work back this long at most. */
const gatherMaxMs = 2_000;
const maxFlaps = 16;
