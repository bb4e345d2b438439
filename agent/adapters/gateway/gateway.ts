import { err, ok, type Result } from '../../base/result.ts';
import { EffectGate } from '../../core/leases/effect-gate.ts';
import { compareTokens, type FencingToken, parseToken, tokenHex } from '../../core/leases/fencing-token.ts';
import { type SessionId, sessionId } from '../../core/leases/session.ts';
import type { EffectLog } from '../effect-log.ts';
import type { Log } from '../log.ts';
import { GateStore, type StoredFloor } from './gate-store.ts';

/** Who wants to do something to what, by which right. */
export interface Claim {
  /** What the effect happens to, 1 … 200 characters: `process:line/labeller`, `plc:press-7`, `http:camera-2`. */
  readonly resource: string;
  /** Name of the lease, 1 … 200 characters: `duty:line/labeller`. */
  readonly lease: string;
  /** 16 hex digits. */
  readonly token: string;
  /** 64 hex digits: one life of one agent. */
  readonly session: string;
  /**
   * Whether the right is still valid. It is asked last, in the same synchronous block as the effect: making a floor
   * durable can take longer than the rest of the right's window.
   */
  readonly mayAct?: (() => boolean) | undefined;
  /**
   * The effect's own name, ≤ 200 characters. The same name again, under the same token and with none between, gets the
   * same sequence number, over restarts too: who compares numbers then carries it out once.
   */
  readonly key?: string | undefined;
}

/**
 * Why an effect is refused; in every case nothing was done.
 * `older`: a larger token was here. `foreign`: this very token was here from another session; one of the two is a bug or
 * a forgery. `over`: the right ended before the effect began. `blind`: what a majority of voters knows of this lease was
 * not read since this gate was opened (or, without `asksVoters`, since floors were lost). `not-durable`: the disk did not take the floor. `malformed`: no token, session or name.
 */
export type RefusalKind = 'older' | 'foreign' | 'over' | 'blind' | 'not-durable' | 'malformed';

export interface Refusal {
  readonly kind: RefusalKind;
  /** For people: what, why, and what to do where something can be done. */
  readonly text: string;
}

/** What an effect may know of its admission. */
export interface Admission {
  /** Numbered effects only: rises with every effect of a token, begins at 1 with every new one, else 0. Up to 2^32 − 1. */
  readonly sequence: number;
}

export interface Gateway {
  /**
   * Judges, makes the floor durable, looks at the clock, and calls `effect`, all in one synchronous block: what `effect`
   * begins synchronously is begun under a valid right. What it throws is thrown.
   */
  perform<T>(claim: Claim, effect: (admission: Admission) => T): Result<T, Refusal>;
  /** As `perform`, with a sequence number that is durable before the effect, for devices that compare numbers themselves. */
  performNumbered<T>(claim: Claim, effect: (admission: Admission) => T): Result<T, Refusal>;
  /**
   * The largest token that a majority of voters knows for this lease: nothing smaller is accepted from now on, at no
   * resource. A starting gateway reads it before it takes over; a forced epoch raises it. It never sinks.
   */
  raiseFloor(lease: string, token: string): Result<undefined, Refusal>;
  /** The same for many, all or none, at the price of one. */
  raiseFloors(floors: readonly Floor[]): Result<undefined, Refusal>;
  /** For status pages: counts since the start. */
  readonly counts: Readonly<Record<'accepted' | 'raised' | RefusalKind, number>>;
  /** Why floors may be missing; undefined: none is known to be. */
  readonly lost: string | undefined;
  close(): void;
}

export interface Floor {
  readonly lease: string;
  /** 16 hex digits. */
  readonly token: string;
}

export interface GatewayOptions {
  /** Folder of the box's floors. Processes that share a resource share the folder. */
  readonly dir: string;
  /**
   * Somebody reads the floors from the voters and tells them by `raiseFloor`: until that was done for a lease since this
   * gate was opened, nothing under it gets through, whatever stands on the disk.
   */
  readonly asksVoters?: boolean | undefined;
  /** Writes refusals down beside the effects. */
  readonly effectLog?: Pick<EffectLog, 'append'> | undefined;
  readonly log?: Pick<Log, 'warn' | 'error'> | undefined;
  readonly wall?: () => number;
}

/**
 * The last judge before the world: keeps the largest token for each lease at each resource on disk, and refuses smaller
 * ones and equal ones of another session. The floor is durable before the effect, so that no crash between the two lets
 * an older holder back in.
 *
 * A store that cannot be written refuses whatever would raise a floor, and never forgets in memory that it was asked: an
 * older right does not get in because a newer one could not be written down.
 *
 * Not guaranteed: what lies beyond the call. A process that is frozen between this check and the write, a frame in the
 * kernel or on the wire, lands whenever it lands, unless the device itself compares (README.md).
 */
export function openGateway(options: GatewayOptions): Gateway {
  const { dir, effectLog, log, wall = Date.now, asksVoters = false } = options;
  const store = new GateStore(dir);
  // Floors that were asked for and could not be made durable: above what the disk says, and as binding.
  const unwritten = new Map<string, { readonly token: FencingToken; readonly session: SessionId }>();
  // Leases whose floors were told in this life.
  const told = new Set<string>();
  const counts = {
    accepted: 0,
    raised: 0,
    older: 0,
    foreign: 0,
    over: 0,
    blind: 0,
    'not-durable': 0,
    malformed: 0,
  };
  const keyOf = (resource: string, lease: string) => JSON.stringify([resource, lease]);
  if (!store.durable) log?.error({ ...store.misfortune }, 'floors cannot be kept: the gateway refuses every effect');
  else if (store.lost !== undefined)
    log?.error({ reason: store.lost }, 'floors were lost: what they were is asked anew');

  const refuse = (claim: Claim, kind: RefusalKind, text: string): Result<never, Refusal> => {
    counts[kind]++;
    const { resource, lease, token, session } = claim;
    const said = { resource: short(resource), lease: short(lease), token: short(token), session: short(session) };
    log?.warn({ ...said, kind }, text);
    effectLog?.append({ at: wall(), effect: 'refused', ...said, kind, detail: text });
    return err({ kind, text });
  };

  interface Judged {
    readonly verdict: 'raised' | 'accepted' | 'older' | 'foreign' | 'blind' | 'full';
    readonly floor: StoredFloor | undefined;
    readonly over: FencingToken | undefined;
  }

  /** Inside a transaction when it may write. */
  const judge = (claim: Claim, token: FencingToken, session: SessionId, numbered: boolean, write: boolean): Judged => {
    const { resource, lease } = claim;
    const stored = store.find(resource, lease);
    const raised = store.raised(lease);
    const isBlind = asksVoters
      ? !told.has(lease)
      : store.lost !== undefined && stored === undefined && raised === undefined;
    if (isBlind) return { verdict: 'blind', floor: undefined, over: undefined };
    // What voters know may be this very right, and they do not name its session: equal is good enough.
    if (raised && compareTokens(token, raised) < 0) return { verdict: 'older', floor: stored, over: raised };
    const gate = new EffectGate(1, [stored]);
    const pending = unwritten.get(keyOf(resource, lease));
    if (pending) gate.raise(0, pending.token, pending.session);
    const before = gate.floor(0);
    let verdict = gate.judge(0, token, session);
    // Accepted against what only memory knows is a floor that still has to be written.
    const known = stored && compareTokens(stored.token, token) === 0 && stored.session === session;
    if (verdict === 'accepted' && known !== true) verdict = 'raised';
    if (verdict !== 'raised' && verdict !== 'accepted') return { verdict, floor: stored, over: before?.token };
    const again = known === true && claim.key !== undefined && claim.key !== '' && claim.key === stored?.key;
    const last = known === true ? (stored?.sequence ?? 0) : 0;
    const floor: StoredFloor = {
      token,
      session,
      sequence: numbered && !again ? last + 1 : last,
      key: numbered ? (claim.key ?? '') : known === true ? (stored?.key ?? '') : '',
    };
    const changed = verdict === 'raised' || (numbered && !again);
    if (write && changed && !store.put(resource, lease, floor)) return { verdict: 'full', floor, over: undefined };
    return { verdict, floor, over: undefined };
  };

  const admit = (claim: Claim, numbered: boolean): Result<StoredFloor, Refusal> => {
    const { resource, lease } = claim;
    const token = parseToken(claim.token);
    if (token === undefined) return refuse(claim, 'malformed', 'no fencing token: 16 hex digits are expected');
    if (!/^[0-9a-f]{64}$/.test(claim.session))
      return refuse(claim, 'malformed', 'no session: 64 hex digits are expected');
    if (!isName(resource) || !isName(lease) || (claim.key ?? '').length > maxName) {
      return refuse(claim, 'malformed', `resource, lease and key have at most ${maxName} characters`);
    }
    if (!store.durable) return refuse(claim, 'not-durable', 'floors cannot be kept on this disk');
    const session = sessionId(claim.session);
    let judged: Judged;
    try {
      judged = judge(claim, token, session, numbered, false);
      const writes = judged.verdict === 'raised' || (judged.verdict === 'accepted' && numbered);
      if (writes) judged = store.exclusively(() => judge(claim, token, session, numbered, true));
    } catch (error) {
      const key = keyOf(resource, lease);
      const pending = unwritten.get(key);
      if (pending === undefined || compareTokens(token, pending.token) > 0) {
        if (pending !== undefined || unwritten.size < maxUnwritten) unwritten.set(key, { token, session });
      }
      return refuse(claim, 'not-durable', `the floor was not made durable: ${reason(error)}`);
    }
    switch (judged.verdict) {
      case 'older':
        return refuse(
          claim,
          'older',
          `${claim.token} is older than ${judged.over && tokenHex(judged.over)}, seen here`,
        );
      case 'foreign':
        return refuse(claim, 'foreign', `${claim.token} was used here by another session`);
      case 'blind':
        return refuse(
          claim,
          'blind',
          asksVoters
            ? 'what a majority of the voters of this lease knows was not read since this agent began: nothing passes until then'
            : 'floors were lost, and none was read from the voters of this lease since',
        );
      case 'full':
        return refuse(claim, 'not-durable', 'too many resources and leases are kept already');
    }
    if (numbered && judged.floor !== undefined && judged.floor.sequence > maxSequence) {
      return refuse(claim, 'over', 'this token has no sequence numbers left; the next takeover brings new ones');
    }
    unwritten.delete(keyOf(resource, lease));
    counts[judged.verdict]++;
    return ok(judged.floor as StoredFloor);
  };

  const perform = <T>(claim: Claim, effect: (admission: Admission) => T, numbered: boolean): Result<T, Refusal> => {
    const admitted = admit(claim, numbered);
    if (!admitted.ok) return admitted;
    if (claim.mayAct?.() === false) return refuse(claim, 'over', 'the right ended before the effect could begin');
    return ok(effect({ sequence: numbered ? admitted.value.sequence : 0 }));
  };

  const raiseFloors = (floors: readonly Floor[]): Result<undefined, Refusal> => {
    const claimed = ({ lease, token }: Floor): Claim => ({ resource: '*', lease, token, session: '' });
    const parsed: { readonly floor: Floor; readonly token: FencingToken }[] = [];
    for (const floor of floors) {
      const token = parseToken(floor.token);
      if (token === undefined || !isName(floor.lease)) {
        return refuse(claimed(floor), 'malformed', 'no lease, or no fencing token');
      }
      parsed.push({ floor, token });
    }
    const isAbove = (lease: string, token: FencingToken): boolean => {
      const known = store.raised(lease);
      return known === undefined || compareTokens(token, known) > 0;
    };
    const first = floors[0];
    if (first === undefined) return ok(undefined);
    if (!store.durable) return refuse(claimed(first), 'not-durable', 'floors cannot be kept on this disk');
    try {
      const rising = parsed.filter(({ floor, token }) => isAbove(floor.lease, token));
      if (rising.length > 0) {
        store.exclusively(() => {
          for (const { floor, token } of rising) {
            if (isAbove(floor.lease, token) && !store.putRaised(floor.lease, token))
              throw new Error('too many leases are kept');
          }
        });
      }
    } catch (error) {
      return refuse(claimed(first), 'not-durable', `the floor was not made durable: ${reason(error)}`);
    }
    // As many as there are floors on the disk, which are bounded.
    for (const { lease } of floors) told.add(lease);
    return ok(undefined);
  };

  return {
    perform: (claim, effect) => perform(claim, effect, false),
    performNumbered: (claim, effect) => perform(claim, effect, true),
    raiseFloor: (lease, token) => raiseFloors([{ lease, token }]),
    raiseFloors,
    counts,
    lost: store.lost,
    close: () => store.close(),
  };
}

const maxName = 200;
const maxUnwritten = 4_096;
/** As devices have room for: two registers. */
const maxSequence = 2 ** 32 - 1;

const isName = (text: string): boolean => text.length > 0 && text.length <= maxName;
const short = (text: string): string => (text.length > maxName ? `${text.slice(0, maxName)}…` : text);
const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
