import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { instant } from '../../../agent/base/time.ts';
import type { BallotItem, LeaseAnswer, LeaseRequest, Refusal } from '../../../agent/core/leases/ballot.ts';
import type { HolderTime } from '../../../agent/core/leases/elapsed-clock.ts';
import { type LeaseSpec, leaseDefaults, windowMs } from '../../../agent/core/leases/options.ts';
import { Proposer, type ProposerOutput } from '../../../agent/core/leases/proposer.ts';
import { sessionId } from '../../../agent/core/leases/session.ts';

const options = leaseDefaults;
const { guardMs, leaseMs, renewMs, retryMs } = options;
const window = windowMs(options);
const id = sessionId('me');
const duty: LeaseSpec = { eligible: Uint8Array.of(1), lingerMs: 0 };
const permit: LeaseSpec = { eligible: Uint8Array.of(1), lingerMs: 5000 };

const at = (elapsed: number, monotonic = elapsed): HolderTime => ({
  elapsed: instant(elapsed),
  monotonic: instant(monotonic),
});

class Bench {
  readonly proposer: Proposer;
  outputs: ProposerOutput[] = [];

  constructor(voters = 3, leases: readonly LeaseSpec[] = [duty, permit]) {
    this.proposer = new Proposer({
      options,
      cell: 0,
      epoch: 1,
      session: { agent: 0, boot: 1, id },
      voters: Array.from({ length: voters }, (_, index) => 10 + index),
      leases,
      random: new Random(1),
    });
  }

  do(action: (proposer: Proposer, out: ProposerOutput[]) => void): ProposerOutput[] {
    const out: ProposerOutput[] = [];
    action(this.proposer, out);
    this.outputs.push(...out);
    return out;
  }

  want(now: number, lease = 0, delayMs = 0): ProposerOutput[] {
    return this.do((proposer, out) => proposer.want(at(now), lease, delayMs, out));
  }

  tick(now: number): ProposerOutput[] {
    return this.do((proposer, out) => proposer.tick(at(now), out));
  }

  /** The request that this voter was sent last. */
  last(voter: number): LeaseRequest {
    const sends = this.outputs.flatMap((output) =>
      output.kind === 'send' && output.to === 10 + voter ? [output.message] : [],
    );
    return sends.at(-1)!;
  }

  /** The portfolio as this voter knows it: the last one that it was sent in full. */
  #items(voter: number): readonly BallotItem[] {
    const lists = this.outputs.flatMap((output) =>
      output.kind === 'send' && output.to === 10 + voter && output.message.items ? [output.message.items] : [],
    );
    return lists.at(-1)!;
  }

  list(voter: number): number[][] {
    return this.#items(voter).map(({ lease, counter }) => [lease, counter]);
  }

  answer(
    now: number,
    voter: number,
    change: Partial<LeaseAnswer> & { all?: boolean; refused?: readonly Refusal[] } = {},
  ): ProposerOutput[] {
    const request = this.last(voter);
    const message: LeaseAnswer = {
      kind: 'lease-answer',
      cell: 0,
      epoch: 1,
      session: id,
      rid: request.rid,
      got: this.#items(voter),
      refused: [],
      life: { boot: 1, nonce: 1 },
      ...change,
    };
    return this.do((proposer, out) => proposer.answer(at(now), 10 + voter, message, out));
  }

  held(now: number, lease = 0): number | undefined {
    return this.proposer.mayAct(at(now), lease)?.counter;
  }
}

const kinds = (outputs: readonly ProposerOutput[]): string[] =>
  outputs.map(({ kind }) => kind).filter((kind) => kind !== 'send');
const acquire = (bench: Bench, now = 0): void => {
  bench.want(now);
  bench.answer(now + 10, 0);
  bench.answer(now + 10, 1);
};

describe('proposer: the window', () => {
  it('one acknowledgement of three → nothing; the second → acquired, counted from the sends', () => {
    const bench = new Bench();
    bench.want(100);
    expect(kinds(bench.answer(160, 0))).toEqual([]);
    const out = bench.answer(170, 1);
    expect(out[0]).toMatchObject({
      kind: 'acquired',
      lease: 0,
      token: { epoch: 1, counter: 1 },
      until: 100 + window - guardMs,
    });
    expect(bench.held(100 + window - guardMs - 1)).toBe(1);
    expect(bench.held(100 + window - guardMs)).toBeUndefined();
  });

  it('the end is that of the q-th largest send time, not of the newest', () => {
    const bench = new Bench();
    acquire(bench);
    bench.tick(renewMs);
    bench.answer(renewMs + 5, 0);
    expect(bench.proposer.lease(0).validUntil).toBe(window);
    bench.answer(renewMs + 6, 1);
    expect(bench.proposer.lease(0).validUntil).toBe(renewMs + window);
  });

  it('an answer to an earlier attempt → counts from that attempt', () => {
    const bench = new Bench();
    bench.want(0);
    const first = bench.last(0).rid;
    const firstOfOther = bench.last(1).rid;
    bench.tick(retryMs);
    expect(bench.last(0).rid).not.toBe(first);
    bench.answer(retryMs + 1, 0, { rid: first, got: [{ lease: 0, counter: 1 }] });
    bench.answer(retryMs + 1, 1, { rid: firstOfOther, got: [{ lease: 0, counter: 1 }] });
    expect(bench.proposer.lease(0).validUntil).toBe(window);
  });

  it('answers for another session, an unknown request, another token → count nothing', () => {
    const bench = new Bench();
    bench.want(0);
    for (const voter of [0, 1, 2]) {
      bench.answer(5, voter, { session: sessionId('an earlier life') });
      bench.answer(5, voter, { rid: 999 });
      bench.answer(5, voter, { got: [{ lease: 0, counter: 8 }] });
    }
    expect(bench.held(6)).toBeUndefined();
  });

  it('no answers any more → lost at the guard, dropped, and tried again with a larger token', () => {
    const bench = new Bench();
    acquire(bench);
    const end = window - guardMs;
    expect(bench.proposer.deadline()).toBeLessThanOrEqual(end);
    expect(kinds(bench.tick(end))).toEqual(['lost']);
    bench.tick(end + 1);
    expect(bench.list(0)).toEqual([[0, 2]]);
  });
});

describe('proposer: deaf', () => {
  it('it sends and hears nothing → what it lost it gives back and does not ask for again, until a majority answers', () => {
    const bench = new Bench();
    acquire(bench);
    for (let now = 20; now < 10_000; now += 20) bench.tick(now);
    expect(kinds(bench.outputs)).toEqual(['acquired', 'lost']);
    expect([0, 1, 2].map((voter) => bench.list(voter))).toEqual([[], [], []]);
    // It goes on asking, at the pace of renewal, and does not spin.
    const asked = bench.last(0).rid;
    expect(bench.proposer.deadline()).toBeGreaterThan(9_980);
    for (let now = 10_000; now < 12_000; now += 20) bench.tick(now);
    expect((bench.last(0).rid - asked) / 3).toBeCloseTo(2_000 / renewMs, -1);
    bench.answer(12_000, 0, { got: [] });
    bench.tick(12_001);
    expect(bench.list(0)).toEqual([]);
    bench.answer(12_002, 2, { got: [] });
    bench.tick(12_003);
    expect(bench.list(0)).toEqual([[0, 2]]);
  });

  it('long since it had anything to say → nobody owes it an answer, and it proposes at once', () => {
    const bench = new Bench();
    bench.tick(0);
    bench.want(3_600_000);
    expect(bench.list(0)).toEqual([[0, 1]]);
  });
});

describe('proposer: refusals', () => {
  it('a majority keeps it for somebody else → gives up, releases what it has, and sleeps until it is free', () => {
    const bench = new Bench();
    bench.want(0);
    bench.answer(5, 0);
    const taken = { lease: 0, counter: 1, maxCounter: 6, freeInMs: 1500 };
    bench.answer(5, 1, { got: [], refused: [taken] });
    bench.answer(5, 2, { got: [], refused: [{ ...taken, freeInMs: 900 }] });
    expect(bench.list(0)).toEqual([]);
    for (const voter of [0, 1, 2]) bench.answer(6, voter, { got: [] });
    expect(bench.proposer.lease(0).wakeAt).toBeGreaterThanOrEqual(905);
    bench.tick(905 + retryMs + 1);
    expect(bench.list(1)).toEqual([[0, 7]]);
  });

  it('free, but for a larger counter → proposed at once', () => {
    const bench = new Bench();
    bench.want(0);
    bench.answer(5, 0, { got: [], refused: [{ lease: 0, counter: 1, maxCounter: 41, freeInMs: 0 }] });
    expect(bench.list(0)).toEqual([[0, 42]]);
  });

  it('woken by a voter → tries after its rank', () => {
    const bench = new Bench();
    bench.want(0, 0, 40);
    bench.tick(40);
    for (const voter of [0, 1]) {
      bench.answer(45, voter, { got: [], refused: [{ lease: 0, counter: 1, maxCounter: 3, freeInMs: 1900 }] });
    }
    expect(bench.proposer.lease(0).counter).toBe(0);
    const leases = [{ lease: 0, maxCounter: 3 }];
    bench.do((proposer, out) => proposer.freed(at(100), 10, { kind: 'lease-freed', cell: 0, epoch: 1, leases }, out));
    expect(bench.proposer.lease(0).wakeAt).toBeLessThan(100 + 40 + retryMs + 1);
  });

  it('refused while valid → a larger token beside it, used only after its own quorum, and never the old one again', () => {
    const bench = new Bench();
    acquire(bench);
    bench.tick(renewMs);
    bench.answer(renewMs + 5, 1, { got: [], refused: [{ lease: 0, counter: 1, maxCounter: 1, freeInMs: 0 }] });
    expect(bench.list(0)).toEqual([
      [0, 1],
      [0, 2],
    ]);
    bench.answer(renewMs + 10, 0);
    expect(bench.held(renewMs + 11)).toBe(1);
    const out = bench.answer(renewMs + 12, 1);
    expect(kinds(out)).toEqual(['renumbered']);
    expect(bench.held(renewMs + 13)).toBe(2);
    expect(bench.list(0)).toEqual([[0, 2]]);
  });
});

describe('proposer: giving up', () => {
  it('released with an effect under way → no effect begins, voters hear of it when that one ended', () => {
    const bench = new Bench();
    acquire(bench);
    bench.proposer.began(0);
    expect(kinds(bench.do((proposer, out) => proposer.release(at(20), 0, out)))).toEqual([]);
    expect(bench.held(21)).toBeUndefined();
    expect(bench.list(0)).toEqual([[0, 1]]);
    const out = bench.do((proposer, done) => proposer.finished(at(60), 0, { epoch: 1, counter: 1 }, done));
    expect(kinds(out)).toEqual(['released']);
    expect(bench.list(0)).toEqual([]);
  });

  it('an effect that does not end → the guard time is waited for, by the monotonic clock', () => {
    const bench = new Bench();
    acquire(bench);
    bench.proposer.began(0);
    bench.do((proposer, out) => proposer.release(at(20), 0, out));
    // The wall clock jumped an hour: rights are gone, but the effect is still on its way.
    expect(kinds(bench.do((proposer, out) => proposer.tick(at(3_600_000, 30), out)))).toEqual([]);
    expect(kinds(bench.do((proposer, out) => proposer.tick(at(3_600_200, 200), out)))).toEqual(['released']);
  });

  it('the completion of an effect of an earlier tenure → does not count for this one', () => {
    const bench = new Bench();
    acquire(bench);
    bench.proposer.began(0);
    bench.tick(window);
    bench.tick(window + guardMs + 20);
    bench.tick(window + guardMs + 21);
    bench.answer(window + 130, 0);
    bench.answer(window + 130, 1);
    const { counter } = bench.proposer.lease(0);
    expect(counter).toBeGreaterThan(1);
    bench.proposer.began(0);
    bench.do((proposer, out) => proposer.finished(at(window + 140), 0, { epoch: 1, counter: 1 }, out));
    expect(bench.proposer.lease(0).effects).toBe(1);
  });

  it('a permit → lapsed or to be released, it stays listed until its step is known to have ended', () => {
    const bench = new Bench();
    bench.want(0, 1);
    bench.answer(5, 0);
    bench.answer(5, 1);
    bench.proposer.began(1);
    expect(kinds(bench.tick(window))).toEqual(['lost']);
    for (let now = window; now < window + 3 * leaseMs; now += 100) bench.tick(now);
    expect(bench.list(0)).toEqual([[1, 1]]);
    bench.do((proposer, out) => proposer.release(at(window + 3 * leaseMs), 1, out));
    expect(bench.proposer.lease(1).counter).toBe(1);
    bench.do((proposer, out) => proposer.finished(at(window + 3 * leaseMs + 1), 1, { epoch: 1, counter: 1 }, out));
    expect(bench.list(0)).toEqual([]);
  });

  it('retired → everything is lost, nothing is sent any more', () => {
    const bench = new Bench();
    acquire(bench);
    expect(kinds(bench.do((proposer, out) => proposer.retire(at(20), out)))).toEqual(['lost']);
    expect(bench.tick(5000)).toEqual([]);
    expect(bench.want(5000)).toEqual([]);
  });
});

describe('proposer: what it sends', () => {
  it('every transmission → a request id of its own; an unchanged list the voter has → shorthand; not understood → in full', () => {
    const bench = new Bench();
    acquire(bench);
    bench.tick(renewMs);
    expect(bench.last(0).items).toBeUndefined();
    const { rid } = bench.last(0);
    bench.do((proposer, out) =>
      proposer.needFull(at(renewMs + 3), 10, { kind: 'lease-need-full', cell: 0, epoch: 1, session: id, rid }, out),
    );
    expect(bench.list(0)).toEqual([[0, 1]]);
    const rids = bench.outputs.flatMap((output) => (output.kind === 'send' ? [output.message.rid] : []));
    expect(new Set(rids).size).toBe(rids.length);
    expect(rids).toEqual([...rids].sort((x, y) => x - y));
  });

  it('a silent voter → four quick tries, then the pace of renewal', () => {
    const bench = new Bench();
    bench.want(0);
    let sent = 0;
    for (let now = 1; now <= 1500; now++) {
      sent += bench.tick(now).filter((output) => output.kind === 'send' && output.to === 12).length;
    }
    expect(sent).toBeLessThanOrEqual(3 + 3);
    expect(sent).toBeGreaterThanOrEqual(4);
  });

  it('nothing held and nothing wanted → silence', () => {
    const bench = new Bench();
    expect(bench.proposer.deadline()).toBe(Number.POSITIVE_INFINITY);
    acquire(bench);
    bench.do((proposer, out) => proposer.release(at(20), 0, out));
    for (const voter of [0, 1, 2]) bench.answer(25, voter, { got: [] });
    expect(bench.proposer.deadline()).toBe(Number.POSITIVE_INFINITY);
  });

  it('not eligible → it never asks', () => {
    const bench = new Bench(3, [{ eligible: Uint8Array.of(0), lingerMs: 0 }]);
    expect(bench.want(0)).toEqual([]);
  });
});

describe('proposer: what voters may answer', () => {
  it('nonsense → no exception, and no right without a quorum of real acknowledgements', () => {
    const odd = fc.oneof(fc.integer(), fc.double());
    const refusal = fc.record({ lease: odd, counter: odd, maxCounter: odd, freeInMs: odd });
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.integer({ min: -1, max: 3 }),
            fc.array(refusal),
            fc.array(fc.record({ lease: odd, counter: odd })),
          ),
        ),
        (answers) => {
          const bench = new Bench();
          bench.want(0);
          let now = 1;
          for (const [voter, refused, got] of answers) {
            if (voter < 0 || voter > 0) continue;
            bench.answer(now++, voter, { refused, got });
            bench.tick(now++);
          }
          expect(bench.held(now)).toBeUndefined();
          expect(Number.isNaN(bench.proposer.deadline())).toBe(false);
        },
      ),
    );
  });
});
