import { describe, expect, it } from 'vitest';
import { instant } from '../../../agent/base/time.ts';
import {
  bundleHash,
  type EpochCertificate,
  type EpochEnd,
  type ForcedEpoch,
  type Sealed,
} from '../../../agent/core/leases/ballot.ts';
import {
  type EpochSpec,
  maxCertificates,
  Succession,
  type SuccessionOutput,
} from '../../../agent/core/leases/epoch.ts';
import { type Session, sessionId } from '../../../agent/core/leases/session.ts';
import { activatedRecord, mergeLingering } from '../../../agent/core/leases/voter-record.ts';

const founding: EpochSpec = {
  epoch: 1,
  hash: bundleHash('founding'),
  parent: bundleHash(''),
  voters: [0, 1, 2],
  leaseMs: 2000,
  revoked: [],
};
const next = (change: Partial<EpochSpec> = {}): EpochSpec => ({
  ...founding,
  epoch: 2,
  hash: bundleHash('next'),
  parent: founding.hash,
  voters: [2, 3, 4],
  ...change,
});
const sealed = (successor: string, change: Partial<Sealed> = {}): Sealed => ({
  kind: 'lease-sealed',
  cell: 0,
  epoch: 1,
  successor: bundleHash(successor),
  boot: 1,
  reborn: [0, 0, 0],
  lingering: [],
  ...change,
});

const forced = (poweredOff: readonly number[], change: Partial<ForcedEpoch> = {}): ForcedEpoch => ({
  kind: 'lease-forced',
  cell: 0,
  epoch: 1,
  successor: bundleHash('next'),
  poweredOff,
  document: 'signed',
  ...change,
});

class Bench {
  readonly succession: Succession;
  sent: Extract<SuccessionOutput, { kind: 'send' }>[] = [];
  activated: EpochSpec[] = [];
  wanted: string[] = [];
  certificates: EpochEnd[] = [];

  constructor(active = founding, certificates: readonly EpochEnd[] = []) {
    this.succession = new Succession({ cell: 0, retryMs: 120, active, accepted: undefined, certificates });
  }

  do<T>(action: (succession: Succession, out: SuccessionOutput[]) => T): T {
    const out: SuccessionOutput[] = [];
    const result = action(this.succession, out);
    for (const output of out) {
      if (output.kind === 'send') this.sent.push(output);
      else if (output.kind === 'bundle-wanted') this.wanted.push(output.hash);
      else if (output.kind === 'activated') {
        this.activated.push(output.spec);
        this.certificates.push(output.certificate);
      } else this.do((succession, then) => succession.persisted(instant(1), output.token, then));
    }
    return result;
  }

  accept(spec: EpochSpec) {
    return this.do((succession, out) => succession.accept(instant(0), spec, out));
  }

  sealed(from: number, message: Sealed): void {
    this.do((succession, out) => succession.sealed(instant(2), from, message, out));
  }
}

describe('an epoch that is forced', () => {
  it.each([
    ['a majority attested → begun', founding, forced([0, 1]), ['next']],
    ['all attested → begun', founding, forced([0, 1, 2]), ['next']],
    ['the same one named twice → not', founding, forced([1, 1]), []],
    ['too few: the others could still grant → not', founding, forced([2]), []],
    ['nobody → not', founding, forced([]), []],
    ['a position that no voter has → not', founding, forced([0, 3]), []],
    ['a negative one → not', founding, forced([0, -1]), []],
    ['two of five: three still are a majority → not', { ...founding, voters: [0, 1, 2, 3, 4] }, forced([0, 1]), []],
    ['three of five → begun', { ...founding, voters: [0, 1, 2, 3, 4] }, forced([0, 1, 4]), ['next']],
    ['the only voter → begun', { ...founding, voters: [5] }, forced([0]), ['next']],
    ['of an epoch that ended → not', { ...founding, epoch: 2 }, forced([0, 1]), []],
    ['of one that has not begun → not', founding, forced([0, 1], { epoch: 2 }), []],
    ['of another cell → not', founding, forced([0, 1], { cell: 1 }), []],
    ['nobody verified it → not', founding, forced([0, 1], { successor: bundleHash('') }), []],
    ['for a rival → not', founding, forced([0, 1], { successor: bundleHash('rival') }), []],
  ] as const)('%s', (_, active, statement, begun) => {
    const bench = new Bench(active);
    bench.do((succession, out) => succession.accept(instant(0), next({ epoch: active.epoch + 1 }), out));
    bench.do((succession, out) => succession.certificate(instant(0), statement, out));
    expect(bench.activated.map(({ hash }) => hash)).toEqual(begun);
  });

  it('before its bundle is here → asked for, and begun when it comes', () => {
    const bench = new Bench();
    bench.do((succession, out) => succession.certificate(instant(0), forced([0, 1]), out));
    expect(bench.wanted).toEqual(['next']);
    bench.accept(next());
    expect(bench.activated).toHaveLength(1);
  });

  it('a peer that speaks the old epoch → is shown the statement, as any certificate', () => {
    const bench = new Bench();
    bench.accept(next());
    bench.do((succession, out) => succession.certificate(instant(0), forced([0, 1]), out));
    bench.sent = [];
    bench.do((succession, out) => succession.behind(instant(0), 9, 1, out));
    expect(bench.sent).toMatchObject([{ to: 9, message: { kind: 'lease-forced', document: 'signed' } }]);
  });
});

describe('succession', () => {
  it('accepted → all old voters are asked to seal; q seals → activated', () => {
    const bench = new Bench();
    expect(bench.accept(next())).toBe('accepted');
    expect(bench.sent.map(({ to, message }) => [to, message.kind])).toEqual([
      [0, 'lease-seal'],
      [1, 'lease-seal'],
      [2, 'lease-seal'],
    ]);
    bench.sealed(0, sealed('next'));
    bench.sealed(0, sealed('next'));
    expect(bench.succession.active.epoch).toBe(1);
    bench.sealed(2, sealed('next'));
    expect(bench.activated.map(({ hash }) => hash)).toEqual(['next']);
    expect(bench.succession.active.epoch).toBe(2);
  });

  it('not the next, another parent, a rival → refused, the old one stays', () => {
    const bench = new Bench();
    expect(bench.accept(next({ epoch: 3 }))).toBe('not-the-next');
    expect(bench.accept(next({ epoch: 1 }))).toBe('not-the-next');
    expect(bench.accept(next({ parent: bundleHash('elsewhere') }))).toBe('other-parent');
    expect(bench.accept(next())).toBe('accepted');
    expect(bench.accept(next())).toBe('known');
    expect(bench.accept(next({ hash: bundleHash('rival') }))).toBe('rival');
    expect(bench.succession.accepted?.hash).toBe('next');
  });

  it('seals for a rival, of strangers, of revoked voters → do not count; q stays that of the old set', () => {
    const bench = new Bench();
    bench.accept(next({ revoked: [1] }));
    bench.sealed(0, sealed('next'));
    bench.sealed(1, sealed('next'));
    bench.sealed(3, sealed('next'));
    bench.sealed(2, sealed('rival'));
    expect(bench.activated).toEqual([]);
  });

  it('a certificate that needs the seal of a revoked voter → does not count, also when it came before the bundle', () => {
    const certificate: EpochCertificate = {
      kind: 'lease-epoch',
      cell: 0,
      epoch: 1,
      successor: bundleHash('next'),
      seals: [0, 1].map((voter) => ({ voter, sealed: sealed('next') })),
    };
    const shown = (bench: Bench) => bench.do((succession, out) => succession.certificate(instant(0), certificate, out));
    const late = new Bench();
    late.accept(next({ revoked: [1] }));
    shown(late);
    const early = new Bench();
    shown(early);
    early.accept(next({ revoked: [1] }));
    for (const bench of [late, early]) {
      expect(bench.activated).toEqual([]);
      bench.sealed(0, sealed('next'));
      bench.sealed(2, sealed('next'));
      expect(bench.activated.map(({ hash }) => hash)).toEqual(['next']);
    }
    const whole = new Bench();
    shown(whole);
    whole.accept(next());
    expect(whole.activated.length).toBe(1);
  });

  it('a seal from before its voter lost its memory, as another sealer knows → void, until it seals again', () => {
    const bench = new Bench();
    bench.accept(next());
    bench.sealed(0, sealed('next', { boot: 3 }));
    bench.sealed(1, sealed('next', { reborn: [5, 0, 0] }));
    expect(bench.activated).toEqual([]);
    bench.sealed(0, sealed('next', { boot: 5 }));
    expect(bench.activated.length).toBe(1);
  });

  it('a certificate from elsewhere for the other bundle → that bundle is wanted, and its rival given up', () => {
    const donor = new Bench();
    donor.accept(next({ hash: bundleHash('rival') }));
    donor.sealed(0, sealed('rival'));
    donor.sealed(1, sealed('rival'));
    const bench = new Bench();
    bench.accept(next());
    bench.do((succession, out) => succession.certificate(instant(3), donor.certificates[0]!, out));
    expect(bench.wanted).toEqual(['rival']);
    expect(bench.succession.active.epoch).toBe(1);
    expect(bench.accept(next({ hash: bundleHash('rival') }))).toBe('accepted');
    expect(bench.activated.map(({ hash }) => hash)).toEqual(['rival']);
  });

  it('a certificate with too few seals, the same twice, or seals for something else → ignored', () => {
    const bench = new Bench();
    bench.accept(next());
    const base = { kind: 'lease-epoch', cell: 0, epoch: 1, successor: bundleHash('next') } as const;
    const one = { voter: 0, sealed: sealed('next') };
    for (const seals of [
      [],
      [one],
      [one, one],
      [one, { voter: 1, sealed: sealed('rival') }],
      [one, { voter: 7, sealed: sealed('next') }],
    ]) {
      bench.do((succession, out) => succession.certificate(instant(3), { ...base, seals }, out));
    }
    expect(bench.activated).toEqual([]);
    expect(bench.wanted).toEqual([]);
  });

  it('a peer that is behind → is shown the certificate of the very epoch it speaks', () => {
    const history = Array.from(
      { length: maxCertificates + 9 },
      (_, at): EpochCertificate => ({
        kind: 'lease-epoch',
        cell: 0,
        epoch: at + 1,
        successor: bundleHash(`e${at + 2}`),
        seals: [],
      }),
    );
    const active = { ...founding, epoch: history.length + 1 };
    const bench = new Bench(active, history);
    bench.do((succession, out) => succession.behind(instant(0), 5, history.length - 3, out));
    expect(bench.sent).toMatchObject([{ to: 5, message: { kind: 'lease-epoch', epoch: history.length - 3 } }]);
    bench.do((succession, out) => succession.behind(instant(0), 5, 2, out));
    bench.do((succession, out) => succession.behind(instant(0), 5, active.epoch, out));
    expect(bench.sent.length).toBe(1);
  });

  it('a peer that is ahead → is asked, at most once per retry time', () => {
    const bench = new Bench();
    for (const now of [1000, 1010, 1050, 1130])
      bench.do((succession, out) => succession.ahead(instant(now), 4, 3, out));
    expect(bench.sent.map(({ message }) => message.kind)).toEqual(['lease-epoch-wanted', 'lease-epoch-wanted']);
  });
});

describe('permits over the end of an epoch', () => {
  const one: Session = { agent: 1, boot: 1, id: sessionId('one') };
  const parts = { epoch: 2, voters: 3, leases: 2, leaseMs: 1000, formerLeaseMs: 2000, boot: 7, drift: 0.01 };
  const two: Session = { agent: 2, boot: 1, id: sessionId('two') };

  it('named by one of the seals → go on lapsing at the new voters', () => {
    const certificate: EpochCertificate = {
      kind: 'lease-epoch',
      cell: 0,
      epoch: 1,
      successor: bundleHash('next'),
      seals: [
        { voter: 0, sealed: sealed('next') },
        { voter: 1, sealed: sealed('next', { lingering: [{ lease: 1, counter: 4, session: one, remainingMs: 900 }] }) },
      ],
    };
    const record = activatedRecord({ ...parts, formerLingerMs: [0, 5_000] }, certificate);
    expect(record).toMatchObject({ epoch: 2, boot: 7, longestMs: 2000, maxCounters: [0, 0] });
    expect(record.lingering).toEqual([undefined, { lease: 1, counter: 4, session: one, remainingMs: 900 }]);
  });

  it('a forced epoch → all count as held by nobody, for T and their linger by the slowest clock; duties do not', () => {
    const record = activatedRecord({ ...parts, formerLingerMs: [0, 5_000] }, forced([0, 1]));
    expect(record).toMatchObject({ epoch: 2, boot: 7, longestMs: 2000, maxCounters: [0, 0] });
    expect(record.lingering).toEqual([
      undefined,
      expect.objectContaining({ lease: 1, counter: 0, remainingMs: 7_140 }),
    ]);
  });

  it('two sessions named for one permit → it belongs to neither, and lapses with the longer time', () => {
    const into = [undefined];
    mergeLingering(into, [{ lease: 0, counter: 4, session: one, remainingMs: 900 }]);
    mergeLingering(into, [{ lease: 0, counter: 5, session: two, remainingMs: 300 }]);
    mergeLingering(into, [{ lease: 9, counter: 5, session: two, remainingMs: 300 }]);
    expect(into).toMatchObject([{ counter: 0, remainingMs: 900 }]);
  });
});
