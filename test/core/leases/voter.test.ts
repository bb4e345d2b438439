import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Instant, instant } from '../../../agent/base/time.ts';
import {
  type BallotItem,
  bundleHash,
  type LeaseAnswer,
  type LeaseRequest,
  listHash,
  type Sealed,
  type VoterMemory,
  type VoterRecalled,
} from '../../../agent/core/leases/ballot.ts';
import { type LeaseSpec, leaseDefaults } from '../../../agent/core/leases/options.ts';
import { type Session, sessionId, type VoterLife } from '../../../agent/core/leases/session.ts';
import { Voter, type VoterOutput } from '../../../agent/core/leases/voter.ts';
import {
  foldVoter,
  foundingRecord,
  type VoterEntry,
  type VoterRecord,
} from '../../../agent/core/leases/voter-record.ts';

const linger = 5000;
const leases: readonly LeaseSpec[] = [
  { eligible: Uint8Array.of(1, 1, 1, 0), lingerMs: 0 },
  { eligible: Uint8Array.of(1, 1, 1, 0), lingerMs: 0 },
  { eligible: Uint8Array.of(1, 1, 1, 0), lingerMs: linger },
];
const { leaseMs, drift } = leaseDefaults;
const mute = leaseMs * (1 + 2 * drift);

const session = (agent: number, boot = 1, secret = `secret-${agent}-${boot}`): Session => ({
  agent,
  boot,
  id: sessionId(`sha:${secret}`),
});

/** One voter with its disk: writes are done at once unless the disk is held. */
class Bench {
  readonly voters: readonly number[];
  record: VoterRecord | undefined;
  voter!: Voter;
  sent: { to: number; message: { kind: string } }[] = [];
  observed: string[] = [];
  readonly died: { agent: number; boot: number }[] = [];
  held: { token: number; entries: readonly VoterEntry[] }[] = [];
  isHolding = false;
  #nonce = 1;
  #rids = new Map<string, number>();

  constructor(voters: readonly number[] = [0], record: VoterRecord | undefined = undefined) {
    this.voters = voters;
    this.record = record ?? foundingRecord({ epoch: 1, voters: voters.length, leases: leases.length, leaseMs });
  }

  start(now: number): this {
    this.voter = new Voter({
      cell: 0,
      self: 0,
      voters: this.voters,
      epoch: 1,
      options: leaseDefaults,
      leases,
      record: this.record && structuredClone(this.record),
      nonce: this.#nonce++,
      digest: (secret) => sessionId(`sha:${secret}`),
    });
    this.record ??= foundingRecord({ epoch: 1, voters: this.voters.length, leases: leases.length, leaseMs });
    this.#do(now, (out) => this.voter.start(instant(now), out));
    return this;
  }

  #do(now: number, action: (out: VoterOutput[]) => void): void {
    const out: VoterOutput[] = [];
    action(out);
    for (const output of out) {
      if (output.kind === 'send') this.sent.push(output);
      else if (output.kind === 'observe') this.observed.push(output.what);
      else if (output.kind === 'died') this.died.push({ agent: output.agent, boot: output.boot });
      else if (this.isHolding) this.held.push(output);
      else this.#write(now, output);
    }
  }

  #write(now: number, write: { token: number; entries: readonly VoterEntry[] }): void {
    for (const entry of write.entries) foldVoter(this.record!, entry);
    this.#do(now, (out) => this.voter.persisted(instant(now), write.token, out));
  }

  releaseDisk(now: number): void {
    this.isHolding = false;
    for (const write of this.held.splice(0)) this.#write(now, write);
  }

  failDisk(now: number): void {
    for (const write of this.held.splice(0))
      this.#do(now, (out) => this.voter.persistFailed(instant(now), write.token, out));
  }

  /** Sends one request and gives what was answered to it, if anything was. */
  ask(
    now: number,
    from: Session,
    items: readonly [lease: number, counter: number][] | 'unchanged',
    change: Partial<LeaseRequest> & { connection?: number; lastList?: readonly BallotItem[] } = {},
  ): LeaseAnswer | undefined {
    const list = items === 'unchanged' ? change.lastList! : items.map(([lease, counter]) => ({ lease, counter }));
    const rid = change.rid ?? (this.#rids.get(from.id) ?? 0) + 1;
    this.#rids.set(from.id, rid);
    const before = this.sent.length;
    const message: LeaseRequest = {
      kind: 'lease-request',
      cell: 0,
      epoch: 1,
      session: from,
      leaseMs,
      items: items === 'unchanged' ? undefined : list,
      listHash: listHash(list),
      heard: undefined,
      ...change,
      rid,
    };
    this.#do(now, (out) => this.voter.request(instant(now), from.agent, change.connection ?? 1, message, out));
    return this.answers(before).find((answer) => answer.rid === rid);
  }

  answers(since = 0): LeaseAnswer[] {
    return this.sent
      .slice(since)
      .map(({ message }) => message)
      .filter((message): message is LeaseAnswer => message.kind === 'lease-answer');
  }

  do(now: number, action: (voter: Voter, now: Instant, out: VoterOutput[]) => void): void {
    this.#do(now, (out) => action(this.voter, instant(now), out));
  }
}

const got = (answer: LeaseAnswer | undefined): number[][] =>
  (answer?.got ?? []).map(({ lease, counter }) => [lease, counter]);
const ready = (): Bench => new Bench().start(0);
const refused = (answer: LeaseAnswer | undefined) => answer?.refused;
const later = mute + 1;
const a = session(1);
const b = session(2);

describe('voter: the rule of granting', () => {
  it('a free lease → granted; the same again → renewed, for T from then', () => {
    const bench = ready();
    expect(got(bench.ask(later, a, [[0, 1]]))).toEqual([[0, 1]]);
    expect(got(bench.ask(later + 1500, a, [[0, 1]]))).toEqual([[0, 1]]);
    expect(bench.voter.promise(0)?.until).toBe(later + 1500 + leaseMs);
  });

  it("somebody else's → refused, with the largest counter and how long it stays taken", () => {
    const bench = ready();
    bench.ask(later, a, [[0, 4]]);
    const answer = bench.ask(later + 500, b, [[0, 9]]);
    expect(answer?.got).toEqual([]);
    expect(answer?.refused).toEqual([{ lease: 0, counter: 9, maxCounter: 4, freeInMs: leaseMs - 500 }]);
  });

  it('expired → granted to whoever brings a larger counter, and to nobody with the same', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 4]]);
    expect(bench.ask(later + leaseMs + 1, b, [[0, 4]])?.refused).toMatchObject([{ maxCounter: 4, freeInMs: 0 }]);
    expect(got(bench.ask(later + leaseMs + 2, b, [[0, 5]]))).toEqual([[0, 5]]);
  });

  it('own, with a larger counter beside the old one → both count, until the old one is no longer listed', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 1]]);
    expect(
      got(
        bench.ask(later + 1, a, [
          [0, 1],
          [0, 2],
        ]),
      ),
    ).toEqual([
      [0, 1],
      [0, 2],
    ]);
    expect(
      got(
        bench.ask(later + 2, a, [
          [0, 1],
          [0, 2],
        ]),
      ),
    ).toEqual([
      [0, 1],
      [0, 2],
    ]);
    expect(got(bench.ask(later + 3, a, [[0, 2]]))).toEqual([[0, 2]]);
    expect(
      bench.ask(later + 4, a, [
        [0, 1],
        [0, 2],
      ])?.refused,
    ).toMatchObject([{ counter: 1 }]);
  });

  it('own means the same session → another life of the same agent is somebody else', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 1]]);
    expect(bench.ask(later + 1, session(1, 2), [[0, 2]])?.refused).toMatchObject([{ lease: 0 }]);
    // A cloned disk: the same agent, the same boot, another secret.
    expect(bench.ask(later + 2, session(1, 1, 'clone'), [[0, 3]])?.refused).toMatchObject([{ lease: 0 }]);
  });

  it('one session on two live connections → poisoned: it may only expire', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 1]], { connection: 1 });
    expect(got(bench.ask(later + 1, a, [[0, 1]], { connection: 2 }))).toEqual([[0, 1]]);
    expect(bench.ask(later + 2, a, [[0, 1]], { connection: 1 })).toBeUndefined();
    expect(bench.ask(later + 3, a, [[0, 1]], { connection: 2 })).toBeUndefined();
    expect(bench.observed).toContain('poisoned');
    expect(got(bench.ask(later + leaseMs + 3, b, [[0, 2]]))).toEqual([[0, 2]]);
  });

  it('what was still under way on the connection before → is old, and poisons nothing', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 1]], { connection: 1, rid: 1 });
    expect(got(bench.ask(later + 1, a, [[0, 1]], { connection: 2, rid: 3 }))).toEqual([[0, 1]]);
    expect(bench.ask(later + 2, a, [[0, 1]], { connection: 1, rid: 2 })).toBeUndefined();
    expect(bench.observed).not.toContain('poisoned');
    expect(got(bench.ask(later + 3, a, [[0, 1]], { connection: 2, rid: 4 }))).toEqual([[0, 1]]);
  });

  it('other epoch, other T, not eligible, too far ahead, an old request → ignored', () => {
    const bench = ready();
    expect(bench.ask(later, a, [[0, 1]], { epoch: 2 })).toBeUndefined();
    expect(bench.ask(later, a, [[0, 1]], { leaseMs: leaseMs / 2 })).toBeUndefined();
    expect(bench.ask(later, session(3), [[0, 1]])).toMatchObject({ got: [], refused: [] });
    expect(bench.ask(later, a, [[0, 2 ** 32 + 1]])).toMatchObject({ got: [], refused: [] });
    expect(got(bench.ask(later, a, [[0, 1]], { rid: 10 }))).toEqual([[0, 1]]);
    expect(bench.ask(later, a, [], { rid: 9 })).toBeUndefined();
    expect(bench.ask(later, a, [], { rid: 10 })).toBeUndefined();
    expect(bench.voter.promise(0)?.counter).toBe(1);
  });
});

describe('voter: the whole portfolio', () => {
  it('what is not listed → released, and those who were refused are woken', () => {
    const bench = ready();
    bench.ask(later, a, [
      [0, 1],
      [1, 1],
    ]);
    bench.ask(later + 1, b, [[0, 2]]);
    bench.ask(later + 2, a, [[1, 1]]);
    const freed = bench.sent.find(({ message }) => message.kind === 'lease-freed');
    expect(freed).toMatchObject({ to: 2, message: { leases: [{ lease: 0, maxCounter: 1 }] } });
    expect(got(bench.ask(later + 3, b, [[0, 2]]))).toEqual([[0, 2]]);
  });

  it('shorthand of the last full list → the rule runs again, item by item', () => {
    const bench = ready();
    const lastList = [{ lease: 0, counter: 1 }];
    bench.ask(later, a, [[0, 1]]);
    expect(got(bench.ask(later + 100, a, 'unchanged', { lastList }))).toEqual([[0, 1]]);
    bench.ask(later + 100 + leaseMs, b, [[0, 2]]);
    expect(bench.ask(later + 101 + leaseMs, a, 'unchanged', { lastList })).toMatchObject({ got: [] });
  });

  it('shorthand of an unknown list → asked for in full, and extends nothing', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 1]]);
    expect(bench.ask(later + 100, a, 'unchanged', { lastList: [{ lease: 0, counter: 7 }] })).toBeUndefined();
    expect(bench.sent.at(-1)?.message.kind).toBe('lease-need-full');
    expect(bench.voter.promise(0)?.until).toBe(later + leaseMs);
  });
});

describe('voter: durable before the answer', () => {
  it('a grant → answered when it is on disk; a renewal of it meanwhile waits as well', () => {
    const bench = ready();
    bench.isHolding = true;
    expect(bench.ask(later, a, [[0, 1]])).toBeUndefined();
    expect(bench.ask(later + 5, a, [[0, 1]])).toBeUndefined();
    bench.releaseDisk(later + 10);
    expect(bench.answers().map(({ rid }) => rid)).toEqual([1, 2]);
    expect(bench.record?.maxCounters[0]).toBe(1);
  });

  it('the store refuses → it votes no more', () => {
    const bench = ready();
    bench.isHolding = true;
    bench.ask(later, a, [[0, 1]]);
    bench.failDisk(later + 1);
    expect(bench.voter.state).toBe('failed');
    bench.isHolding = false;
    expect(bench.ask(later + 2, a, [[1, 1]])).toBeUndefined();
    expect(bench.answers()).toEqual([]);
  });

  it('restarted → mute for T·(1+2ρ), then the old token is too small', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 3]]);
    bench.start(later + 100);
    expect(bench.voter.stateAt(instant(later + 100 + mute - 1))).toBe('mute');
    expect(bench.ask(later + 100 + mute - 1, b, [[0, 4]])).toBeUndefined();
    expect(bench.voter.stateAt(instant(later + 100 + mute))).toBe('voting');
    expect(bench.ask(later + 100 + mute, b, [[0, 3]])?.refused).toMatchObject([{ maxCounter: 3, freeInMs: 0 }]);
    expect(got(bench.ask(later + 101 + mute, b, [[0, 4]]))).toEqual([[0, 4]]);
  });

  it('a permit → known after a restart, and still its session', () => {
    const bench = ready();
    bench.ask(later, a, [[2, 1]]);
    bench.start(later + 100);
    const now = later + 100 + mute;
    expect(bench.ask(now, b, [[2, 2]])?.refused[0]?.freeInMs).toBeCloseTo(leaseMs + linger - mute);
    expect(got(bench.ask(now, a, [[2, 1]]))).toEqual([[2, 1]]);
  });

  it('a lapsing permit → its remaining time does not shrink by downtime, nor begin anew', () => {
    const bench = ready();
    bench.ask(later, a, [[2, 1]]);
    const lapsing = later + leaseMs + linger / 2;
    bench.do(lapsing, (voter, now, out) => voter.tick(now, out));
    const left = bench.voter.promise(2)!.until - lapsing;
    bench.start(lapsing + 3_600_000);
    expect(bench.voter.promise(2)!.until - (lapsing + 3_600_000)).toBe(left);
    expect(left).toBeLessThan(leaseMs + linger);
  });
});

describe('voter: death certificates', () => {
  it('the secret of a session → its duties are free at once, its requests are ignored, its permits lapse', () => {
    const bench = ready();
    bench.ask(later, a, [
      [0, 1],
      [2, 1],
    ]);
    bench.ask(later + 1, b, [[0, 2]]);
    bench.do(later + 2, (voter, now, out) => voter.died(now, 'secret-1-1', out));
    expect(bench.sent.at(-1)).toMatchObject({ to: 2, message: { kind: 'lease-freed' } });
    expect(bench.ask(later + 3, a, [[1, 1]])).toBeUndefined();
    expect(got(bench.ask(later + 4, b, [[0, 2]]))).toEqual([[0, 2]]);
    expect(
      bench.ask(later + 5, b, [
        [0, 2],
        [2, 2],
      ])?.refused,
    ).toMatchObject([{ lease: 2 }]);
  });

  it('the secret of a session, repeated as supervisors do → whose life ended is said once', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 1]]);
    bench.do(later + 1, (voter, now, out) => voter.died(now, 'a guess', out));
    expect(bench.died).toEqual([]);
    for (const ms of [2, 22, 62]) bench.do(later + ms, (voter, now, out) => voter.died(now, 'secret-1-1', out));
    expect(bench.died).toEqual([{ agent: 1, boot: 1 }]);
    bench.ask(later + 100, session(1, 2), [[0, 2]]);
    bench.do(later + 102, (voter, now, out) => voter.died(now, 'secret-1-1', out));
    expect(bench.died).toHaveLength(1);
    bench.do(later + 103, (voter, now, out) => voter.died(now, 'secret-1-2', out));
    expect(bench.died.at(-1)).toEqual({ agent: 1, boot: 2 });
  });

  it('another secret, or a replay after a successor → nothing', () => {
    const bench = ready();
    bench.ask(later, a, [[0, 1]]);
    bench.do(later + 1, (voter, now, out) => voter.died(now, 'a guess', out));
    expect(bench.voter.promise(0)?.session.agent).toBe(1);
    bench.do(later + 2, (voter, now, out) => voter.died(now, 'secret-1-1', out));
    bench.ask(later + 3, b, [[0, 2]]);
    bench.do(later + 4, (voter, now, out) => voter.died(now, 'secret-1-1', out));
    expect(bench.voter.promise(0)?.session.agent).toBe(2);
  });

  it('a certified life counted to 7, the next one has a new disk and counts from 1 → it gets what is free', () => {
    const bench = ready();
    const former = session(1, 7);
    expect(got(bench.ask(later, former, [[0, 1]]))).toEqual([[0, 1]]);
    bench.do(later + 1, (voter, now, out) => voter.died(now, 'secret-1-7', out));
    const next = session(1, 1, 'a new disk');
    expect(got(bench.ask(later + 2, next, [[0, 2]]))).toEqual([[0, 2]]);
    // A word of the dead one that was on its way, and its certificate once more: neither harms the living.
    expect(bench.ask(later + 3, former, [[0, 3]])).toBeUndefined();
    bench.do(later + 4, (voter, now, out) => voter.died(now, 'secret-1-7', out));
    expect(got(bench.ask(later + 5, next, [[0, 2]]))).toEqual([[0, 2]]);
  });

  it('the certificate before the first request → the dead session gets nothing', () => {
    const bench = ready();
    bench.do(later, (voter, now, out) => voter.died(now, 'secret-1-1', out));
    expect(bench.ask(later + 1, a, [[0, 1]])).toBeUndefined();
    expect(got(bench.ask(later + 2, session(1, 2), [[0, 1]]))).toEqual([[0, 1]]);
  });
});

describe('voter: memory', () => {
  const three = [0, 1, 2];
  const remembering = (maxCounters: number[]): VoterMemory => {
    return { longestMs: leaseMs, maxCounters, sealedFor: undefined, lingering: [] };
  };
  const recalled = (bench: Bench, now: number, from: number, change: Partial<VoterRecalled> = {}): void => {
    const recalls = bench.sent.filter(({ message }) => message.kind === 'voter-recall');
    const { round, life } = recalls.at(-1)!.message as unknown as {
      round: number;
      life: { boot: number; nonce: number };
    };
    const memory = remembering(bench.voter.state === 'unborn' ? [7, 0, 0] : [0, 0, 0]);
    const message: VoterRecalled = {
      kind: 'voter-recalled',
      cell: 0,
      epoch: 1,
      round,
      remembered: life,
      memory,
      ...change,
    };
    bench.do(now, (voter, at, out) => voter.recalled(at, from, message, out));
  };

  /** Peer 1 starts, and says so. */
  const hearLife = (
    bench: Bench,
    now: number,
    life: VoterLife,
    change: { unborn?: boolean; former?: VoterLife } = {},
  ): VoterRecalled => {
    const message = { kind: 'voter-recall', cell: 0, epoch: 1, life, round: 1 } as const;
    const { unborn = false, former } = change;
    bench.do(now, (voter, at, out) => voter.recall(at, 1, { ...message, unborn, former }, out));
    return bench.sent.at(-1)!.message as VoterRecalled;
  };

  it('started → votes only when a majority knows of this life', () => {
    const bench = new Bench(three).start(0);
    expect(bench.ask(later, a, [[0, 1]])).toBeUndefined();
    recalled(bench, later, 1);
    expect(got(bench.ask(later, a, [[0, 1]]))).toEqual([[0, 1]]);
  });

  it('set back within one life → what a peer remembers as granted is not granted again, in later lives neither', () => {
    const bench = new Bench(three).start(0);
    recalled(bench, later, 1, { memory: remembering([0, 4, 0]) });
    expect(refused(bench.ask(later, a, [[1, 3]]))).toEqual([{ lease: 1, counter: 3, maxCounter: 4, freeInMs: 0 }]);
    bench.start(later + 10);
    recalled(bench, 2 * later + 10, 1, { memory: remembering([0, 0, 0]) });
    expect(refused(bench.ask(2 * later + 10, a, [[1, 4]]))).toMatchObject([{ maxCounter: 4 }]);
    expect(got(bench.ask(2 * later + 10, a, [[1, 5]]))).toEqual([[1, 5]]);
  });

  it('a peer that answers late remembers a larger token → who holds an older one asks for a newer, nobody else gets it', () => {
    const bench = new Bench(three).start(0);
    recalled(bench, later, 1, { memory: remembering([0, 0, 0]) });
    expect(got(bench.ask(later, a, [[0, 2]]))).toEqual([[0, 2]]);
    recalled(bench, later + 100, 2, { memory: remembering([9, 0, 0]) });
    expect(refused(bench.ask(later + 110, a, [[0, 2]]))).toMatchObject([{ lease: 0, maxCounter: 9 }]);
    expect(refused(bench.ask(later + 120, b, [[0, 10]]))).toMatchObject([{ lease: 0, maxCounter: 9 }]);
    expect(
      got(
        bench.ask(later + 130, a, [
          [0, 2],
          [0, 10],
        ]),
      ),
    ).toEqual([[0, 10]]);
  });

  it('set back over the grant of a permit → its holder keeps it, nobody else gets it, and a restart does not change that', () => {
    const bench = new Bench(three).start(0);
    const grant = { lease: 2, counter: 4, session: a, remainingMs: leaseMs + linger };
    recalled(bench, 100, 1, { memory: { ...remembering([0, 0, 4]), lingering: [grant] } });
    expect(refused(bench.ask(later, b, [[2, 5]]))).toMatchObject([{ lease: 2, maxCounter: 4 }]);
    expect(got(bench.ask(later, a, [[2, 4]]))).toEqual([[2, 4]]);
    bench.start(later + 10);
    recalled(bench, later + 20, 1, { memory: remembering([0, 0, 0]) });
    expect(refused(bench.ask(2 * later + 10, b, [[2, 5]]))).toMatchObject([{ lease: 2, maxCounter: 4 }]);
  });

  it('the store and a peer name two sessions for one permit → it is neither’s, and lapses', () => {
    const bench = new Bench(three).start(0);
    recalled(bench, 10, 1, { memory: remembering([0, 0, 0]) });
    expect(got(bench.ask(later, a, [[2, 1]]))).toEqual([[2, 1]]);
    bench.start(later + 10);
    const grant = { lease: 2, counter: 2, session: b, remainingMs: leaseMs + linger };
    recalled(bench, later + 20, 1, { memory: { ...remembering([0, 0, 2]), lingering: [grant] } });
    const awake = 2 * later + 10;
    bench.ask(awake, a, []);
    expect(refused(bench.ask(awake + 1, a, [[2, 3]]))).toMatchObject([{ lease: 2, maxCounter: 2 }]);
    expect(refused(bench.ask(awake + 1, b, [[2, 2]]))).toMatchObject([{ lease: 2, maxCounter: 2 }]);
    expect(got(bench.ask(awake + leaseMs + linger, b, [[2, 3]]))).toEqual([[2, 3]]);
  });

  it('a counter that no memory can have → is not taken over', () => {
    const bench = new Bench(three).start(0);
    recalled(bench, later, 1, { memory: remembering([2 ** 47, -1, 0.5]) });
    expect(
      got(
        bench.ask(later, a, [
          [0, 1],
          [1, 1],
          [2, 1],
        ]),
      ),
    ).toEqual([
      [0, 1],
      [1, 1],
      [2, 1],
    ]);
  });

  it('a peer remembers a later life → unborn: the store was rolled back', () => {
    const bench = new Bench(three).start(0);
    recalled(bench, 10, 1, { remembered: { boot: 5, nonce: 77 } });
    expect(bench.voter.state).toBe('unborn');
    expect(bench.record).toMatchObject({ unborn: true, boot: 6 });
    recalled(bench, later + 10, 1);
    expect(bench.ask(later + 20, a, [[0, 1]])).toBeUndefined();
  });

  it('a holder remembers another life with the same boot → unborn as well', () => {
    const bench = new Bench(three).start(0);
    recalled(bench, 10, 1);
    bench.ask(later, a, [[0, 1]], { heard: { boot: 1, nonce: 999 } });
    expect(bench.voter.state).toBe('unborn');
  });

  it('rolled back, a life of its own, and another one → unborn: what peers remember is no life of this store', () => {
    const bench = new Bench(three).start(0);
    recalled(bench, 10, 1, { remembered: { boot: 1, nonce: 1 } });
    const before = structuredClone(bench.record!);
    bench.start(3000);
    recalled(bench, 3010, 1);
    // The store of before life 2. Its new life 2 ends before anybody answers.
    bench.record = before;
    bench.start(6000).start(6100);
    expect(bench.record).toMatchObject({ boot: 3, unborn: false });
    recalled(bench, 6110, 1, { remembered: { boot: 2, nonce: 2 } });
    expect(bench.voter.state).toBe('unborn');
    expect(bench.record).toMatchObject({ boot: 4, unborn: true });
  });

  it('a peer that was away for some lives → is told which one it knows, and takes the new one', () => {
    const bench = new Bench(three).start(0).start(100).start(200);
    const asked = () => bench.sent.filter(({ to, message }) => to === 1 && message.kind === 'voter-recall').at(-1)!;
    expect(asked().message).toMatchObject({ life: { boot: 3 }, former: { boot: 2, nonce: 2 } });
    recalled(bench, 210, 1, { remembered: { boot: 1, nonce: 1 } });
    expect(bench.voter.state).toBe('starting');
    bench.do(1000, (voter, now, out) => voter.tick(now, out));
    expect(asked().message).toMatchObject({ life: { boot: 3 }, former: { boot: 1, nonce: 1 } });
  });

  it('memory lost and read back → earlier lives that a peer remembers are no proof any more', () => {
    const bench = new Bench(three).start(0).start(100);
    recalled(bench, 110, 1, { remembered: { boot: 7, nonce: 70 } });
    expect(bench.record).toMatchObject({ boot: 8, unborn: true });
    recalled(bench, 120, 2, { remembered: { boot: 7, nonce: 70 } });
    recalled(bench, 130, 2, { remembered: { boot: 3, nonce: 30 } });
    expect(bench.record).toMatchObject({ boot: 8, unborn: true });
  });

  it('a peer starts → its new life is taken only as the successor of the one that is remembered', () => {
    const bench = new Bench(three).start(0);
    const first = { boot: 3, nonce: 11 };
    const next = { boot: 4, nonce: 12 };
    expect(hearLife(bench, 1, first).remembered).toEqual(first);
    expect(hearLife(bench, 2, next).remembered).toEqual(first);
    expect(hearLife(bench, 3, next, { former: { boot: 3, nonce: 99 } }).remembered).toEqual(first);
    expect(hearLife(bench, 4, next, { former: { boot: 2, nonce: 11 } }).remembered).toEqual(first);
    expect(hearLife(bench, 5, next, { former: first }).remembered).toEqual(next);
    expect(hearLife(bench, 6, { boot: 5, nonce: 13 }, { unborn: true }).remembered).toEqual({ boot: 5, nonce: 13 });
  });

  it('another life of a peer with a boot counter that is known already → objected to, not remembered', () => {
    const bench = new Bench(three).start(0);
    const hear = (now: number, boot: number, nonce: number, unborn: boolean): VoterRecalled =>
      hearLife(bench, now, { boot, nonce }, { unborn });
    expect(hear(1, 3, 11, false).remembered).toEqual({ boot: 3, nonce: 11 });
    expect(hear(2, 3, 99, true).remembered).toEqual({ boot: 3, nonce: 11 });
    expect(hear(3, 2, 50, true).remembered).toEqual({ boot: 3, nonce: 11 });
    expect(bench.record?.reborn).toEqual([0, 0, 0]);
    expect(hear(4, 4, 99, true).remembered).toEqual({ boot: 4, nonce: 99 });
    expect(bench.record?.reborn).toEqual([0, 4, 0]);
  });

  it('blank → mute first, then the memory of q others, then durable, then it votes', () => {
    const bench = new Bench([0, 1, 2]);
    bench.record = undefined;
    bench.start(0);
    expect(bench.voter.state).toBe('unborn');
    // Read before its mute is over: a forgotten grant may still be on its way to the others.
    recalled(bench, 10, 1);
    recalled(bench, 10, 2);
    expect(bench.voter.state).toBe('unborn');
    bench.do(later, (voter, now, out) => voter.tick(now, out));
    recalled(bench, later + 1, 1);
    expect(bench.voter.state).toBe('unborn');
    recalled(bench, later + 2, 2, {
      memory: { longestMs: leaseMs, maxCounters: [9, 2, 0], sealedFor: undefined, lingering: [] },
    });
    expect(bench.voter.state).toBe('voting');
    expect(bench.record).toMatchObject({ unborn: false, maxCounters: [9, 2, 0] });
    expect(bench.ask(later + 3, a, [[0, 9]])?.refused).toMatchObject([{ maxCounter: 9 }]);
    expect(got(bench.ask(later + 4, a, [[0, 10]]))).toEqual([[0, 10]]);
  });

  it("reborn; one peer names a permit's token, another a larger one that was released → the smaller one can only lapse", () => {
    const bench = new Bench([0, 1, 2]);
    bench.record = undefined;
    bench.start(0);
    bench.do(later, (voter, now, out) => voter.tick(now, out));
    const candidate = session(2);
    const grant = { lease: 2, counter: 4, session: candidate, remainingMs: 3000 };
    const told = (maxCounter: number, lingering: (typeof grant)[]) => ({
      memory: { longestMs: leaseMs, maxCounters: [0, 0, maxCounter], sealedFor: undefined, lingering },
    });
    recalled(bench, later + 1, 1, told(4, [grant]));
    recalled(bench, later + 2, 2, told(5, []));
    expect(bench.voter.state).toBe('voting');
    expect(bench.ask(later + 3, candidate, [[2, 4]])).toMatchObject({
      got: [],
      refused: [{ lease: 2, maxCounter: 5 }],
    });
    expect(bench.ask(later + 4, a, [[2, 6]])).toMatchObject({ got: [], refused: [{ lease: 2 }] });
    expect(got(bench.ask(later + 3100, a, [[2, 6]]))).toEqual([[2, 6]]);
  });

  it('reborn among sealed peers → sealed', () => {
    const bench = new Bench([0, 1, 2]);
    bench.record = undefined;
    bench.start(0);
    bench.do(later, (voter, now, out) => voter.tick(now, out));
    recalled(bench, later + 1, 1);
    const sealedFor = bundleHash('next');
    recalled(bench, later + 2, 2, { memory: { longestMs: leaseMs, maxCounters: [0, 0, 0], sealedFor, lingering: [] } });
    expect(bench.voter.state).toBe('sealed');
    expect(bench.ask(later + 3, a, [[0, 1]])).toBeUndefined();
  });
});

describe('voter: the end of an epoch', () => {
  const seal = (bench: Bench, now: number, successor: string): Sealed | undefined => {
    const before = bench.sent.length;
    bench.do(now, (voter, at, out) =>
      voter.seal(at, 1, { kind: 'lease-seal', cell: 0, epoch: 1, successor: bundleHash(successor) }, out),
    );
    return bench.sent.slice(before).map(({ message }) => message as Sealed)[0];
  };

  it('sealed → for one successor only, durable before the answer, over a restart, and it votes no more', () => {
    const bench = ready();
    bench.ask(later, a, [
      [0, 1],
      [2, 1],
    ]);
    bench.isHolding = true;
    expect(seal(bench, later + 1, 'one')).toBeUndefined();
    expect(bench.ask(later + 2, a, [[0, 1]])).toBeUndefined();
    bench.releaseDisk(later + 3);
    expect(bench.sent.at(-1)?.message).toMatchObject({
      kind: 'lease-sealed',
      successor: 'one',
      lingering: [{ lease: 2 }],
    });
    expect(seal(bench, later + 4, 'two')?.successor).toBe('one');
    bench.start(later + 5);
    expect(seal(bench, later + 6, 'two')?.successor).toBe('one');
    expect(bench.ask(later + 5 + mute, a, [[0, 2]])).toBeUndefined();
  });
});

describe('voter: what peers may send', () => {
  it('nonsense → counted or ignored, never an exception, never a promise to who did not ask', () => {
    const any = fc.anything();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer(), fc.double(), fc.integer({ min: -2, max: 9 }))), any, (items, odd) => {
        const bench = ready();
        const list = items.map(([lease, counter]) => ({ lease, counter }));
        bench.do(later, (voter, now, out) =>
          voter.request(
            now,
            1,
            1,
            {
              kind: 'lease-request',
              cell: 0,
              epoch: 1,
              session: a,
              rid: typeof odd === 'number' ? odd : 1,
              leaseMs,
              items: list,
              listHash: 0,
              heard: undefined,
            },
            out,
          ),
        );
        for (const lease of [0, 1, 2]) {
          const promise = bench.voter.promise(lease);
          if (promise) expect(list).toContainEqual({ lease, counter: promise.counter });
        }
      }),
    );
  });

  it('somebody speaks for another agent → malformed', () => {
    const bench = ready();
    bench.do(later, (voter, now, out) =>
      voter.request(
        now,
        2,
        1,
        {
          kind: 'lease-request',
          cell: 0,
          epoch: 1,
          session: a,
          rid: 1,
          leaseMs,
          items: [],
          listHash: 0,
          heard: undefined,
        },
        out,
      ),
    );
    expect(bench.voter.malformed).toBe(1);
    expect(bench.sent).toEqual([]);
  });

  it('lives of one agent without end → four are told apart, those without a grant make room', () => {
    const bench = ready();
    for (let boot = 1; boot <= 200; boot++) bench.ask(later + boot, session(1, boot), []);
    expect((bench.voter as unknown as { sessions: Map<string, unknown> }).sessions.size).toBeLessThanOrEqual(4);
  });
});
