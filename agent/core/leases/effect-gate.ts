import { compareTokens, type FencingToken } from './fencing-token.ts';
import type { SessionId } from './session.ts';

/**
 * `raised`: accepted, and the floor rose: the new floor must be durable before the effect is carried out. `older`: a
 * successor was here already. `foreign`: the same token from another session; one of the two is a bug or a forgery.
 */
export type GateVerdict = 'raised' | 'accepted' | 'older' | 'foreign';

export interface GateFloor {
  readonly token: FencingToken;
  readonly session: SessionId;
}

/**
 * Where an effect happens: the last judge, and the only one that a frozen holder cannot outlive (rule 9). It keeps the
 * largest token per lease and refuses smaller ones.
 *
 * Guaranteed: accepted tokens never decrease and each belongs to one session, whatever clocks, voters and disks of
 * others do, as long as this floor is durable. Not guaranteed: that an expired holder is refused before its successor
 * showed up here; that is what the holder's own window and the supervisor's deadline are for.
 */
export class EffectGate {
  protected readonly floors: (GateFloor | undefined)[];
  protected readonly raised: (FencingToken | undefined)[];

  /** `floors`: as they were persisted, by lease. */
  constructor(leases: number, floors: readonly (GateFloor | undefined)[] = []) {
    this.floors = Array.from({ length: leases }, (_, lease) => floors[lease]);
    this.raised = new Array<FencingToken | undefined>(leases).fill(undefined);
  }

  floor(lease: number): GateFloor | undefined {
    return this.floors[lease];
  }

  judge(lease: number, token: FencingToken, session: SessionId): GateVerdict {
    const floor = this.floors[lease];
    const raised = this.raised[lease];
    if (raised !== undefined && compareTokens(token, raised) < 0) return 'older';
    const order = floor === undefined ? 1 : compareTokens(token, floor.token);
    if (order < 0) return 'older';
    if (order === 0) return floor?.session === session ? 'accepted' : 'foreign';
    this.floors[lease] = { token, session };
    return 'raised';
  }

  /**
   * A starting gateway takes the largest tokens that a quorum of voters knows: nothing smaller is accepted. Voters do not
   * name sessions, so the right that has this very token passes.
   */
  raiseTo(lease: number, token: FencingToken): void {
    const raised = this.raised[lease];
    if (raised === undefined || compareTokens(token, raised) > 0) this.raised[lease] = token;
  }

  /** A floor that was asked for and could not be written down is as binding as one that was. */
  raise(lease: number, token: FencingToken, session: SessionId): void {
    const floor = this.floors[lease];
    if (floor === undefined || compareTokens(token, floor.token) > 0) this.floors[lease] = { token, session };
  }
}
