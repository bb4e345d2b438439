import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Instant, instant } from '../../../agent/base/time.ts';
import { locationsOf } from '../../../agent/core/verdict/location.ts';
import { verdictOptions } from '../../../agent/core/verdict/options.ts';
import {
  describeEvidence,
  describeStatement,
  type Evidence,
  statementKey,
} from '../../../agent/core/verdict/statement.ts';
import { Verdict, type VerdictOutput } from '../../../agent/core/verdict/verdict.ts';
import { Desk } from './desk.ts';

/** Ten agents, five behind each of two switches; we are agent 0 behind the first. */
const switches = (member: number) => `switch-${Math.floor(member / 5)}`;
/** Twenty agents behind four. */
const everybodyBut = (...lost: number[]) =>
  Array.from({ length: 19 }, (_, i) => i + 1).filter((m) => !lost.includes(m));

describe('verdict: GONE', () => {
  it('three rounds without a word, helpers say nack → gone, with the rounds and helpers as evidence', () => {
    const desk = new Desk(20, switches);
    for (let round = 0; round < 3; round++) {
      desk.run(200);
      desk.ended(7, 'nack', [2, 3, 4]);
    }
    desk.run(200);
    expect(desk.keys).toBe('gone:7');
    const [statement] = desk.verdict.statements;
    expect(statement).toMatchObject({ class: 'gone', proven: false });
    expect(statement!.evidence).toEqual([{ kind: 'unanswered', member: 7, rounds: 3, nacks: [2, 3, 4] }]);
  });

  it('two rounds → nothing is said yet; a direct answer → the count begins anew', () => {
    const desk = new Desk(20, switches);
    desk.ended(7, 'nack');
    desk.ended(7, 'nack');
    desk.run(100);
    expect(desk.keys).toBe('');
    desk.ended(7, 'direct');
    desk.ended(7, 'nack');
    desk.run(100);
    expect(desk.keys).toBe('');
  });

  it('others accuse it → gone after the time that a refutation needs; refuted in time → nothing is ever said', () => {
    const desk = new Desk(20);
    desk.answers = (m) => (m === 7 ? 'nack' : 'direct');
    desk.member(7, 'suspect');
    desk.run(150);
    expect(desk.keys).toBe('');
    desk.run(100);
    expect(desk.keys).toBe('gone:7');

    const calm = new Desk(20);
    calm.member(7, 'suspect');
    calm.run(100);
    calm.member(7, 'alive');
    calm.run(2_000);
    expect(calm.said).toEqual([]);
  });

  it('others accuse it but it answers us → taken back as soon as we looked', () => {
    const desk = new Desk(20);
    desk.member(7, 'suspect');
    desk.run(1_000);
    expect(desk.keys).toBe('');
    expect(desk.wanted).toContain(7);
    const stood = desk.said.map(({ at }) => at);
    expect((stood[1] ?? 0) - (stood[0] ?? 0)).toBeLessThan(500);
  });

  it('a death certificate → gone, proven, at once', () => {
    const desk = new Desk(20, switches);
    desk.verdict.proven(desk.now, 7, 1);
    desk.run(20);
    expect(desk.verdict.statements[0]).toMatchObject({ class: 'gone', member: 7, proven: true });
    expect(desk.verdict.statements[0]!.evidence).toContainEqual({ kind: 'certificate', member: 7 });
  });

  it('a death certificate, then what the dead one had still sent → it stays dead; its next life speaks → taken back', () => {
    const desk = new Desk(20, switches);
    desk.verdict.proven(desk.now, 7, 1);
    desk.ended(7, 'direct');
    desk.member(7, 'alive');
    desk.run(100);
    expect(desk.keys).toBe('gone:7');
    desk.boots[7] = 2;
    desk.ended(7, 'direct');
    desk.run(20);
    expect(desk.keys).toBe('');
  });

  it('a death certificate of a former life, or of one who left in order → nobody is missing', () => {
    const desk = new Desk(20, switches);
    desk.boots[7] = 2;
    desk.verdict.proven(desk.now, 7, 1);
    desk.member(8, 'left');
    desk.verdict.proven(desk.now, 8, 1);
    desk.run(1_000);
    expect(desk.said).toEqual([]);
  });

  it('two of one switch with certificates → two boxes: their supervisors could speak, so it is not the switch', () => {
    const desk = new Desk(20, switches);
    desk.verdict.proven(desk.now, 7, 1);
    desk.verdict.proven(desk.now, 8, 1);
    desk.run(1_000);
    expect(desk.said.map(({ keys }) => keys)).toEqual(['gone:7 gone:8']);
  });

  it('we were cut off meanwhile → what is proven still stands after it', () => {
    const desk = new Desk(20, switches);
    desk.answers = () => 'silent';
    desk.run(3_000, [1, 2, 3, 11, 12, 13]);
    expect(desk.keys).toBe('i-am-cut');
    desk.verdict.proven(desk.now, 7, 1);
    desk.answers = (member) => (member === 7 ? 'silent' : 'direct');
    desk.run(1_000, [1, 2, 3, 11, 12, 13]);
    expect(desk.keys).toBe('gone:7');
    expect(desk.verdict.statements[0]).toMatchObject({ proven: true });
  });

  it('it left in order → nobody is missing', () => {
    const desk = new Desk(20, switches);
    desk.member(7, 'suspect');
    desk.member(7, 'left');
    desk.run(2_000);
    expect(desk.said).toEqual([]);
  });
});

describe('verdict: hints from the questions of others', () => {
  it('a peer asks us to reach one whom we hear well → the asker is looked at, and called gone if it is the deaf one', () => {
    const desk = new Desk(20);
    desk.answers = (member) => (member === 7 ? 'nack' : 'direct');
    desk.helpAsked(7, 3);
    expect(desk.wanted).toEqual([7]);
    desk.run(1_200);
    expect(desk.keys).toBe('gone:7');
  });

  it('it goes on speaking, which ends its verification early → asked anew as soon as a round could have ended', () => {
    const desk = new Desk(20);
    desk.ended(7, 'nack');
    desk.run(230);
    expect(desk.wanted).toEqual([]);
    desk.run(40);
    expect(desk.wanted).toEqual([7]);
  });

  it.each<[string, (desk: Desk) => void]>([
    ['of whom it asks is doubted already', (desk) => desk.ended(3, 'nack')],
    ['it is doubted itself', (desk) => desk.ended(7, 'reached')],
    ['the network loses much anyway', (desk) => [1, 2, 4, 5].forEach((peer) => void desk.ended(peer, 'reached'))],
    ['another asker was looked at within the second', (desk) => desk.helpAsked(9, 4)],
    ['nobody elsewhere answers us', (desk) => [11, 12, 13].forEach((peer) => void desk.ended(peer, 'silent'))],
  ])('a peer asks, but %s → nobody is looked at', (_, before) => {
    const desk = new Desk(20);
    before(desk);
    desk.wanted.length = 0;
    desk.helpAsked(7, 3);
    expect(desk.wanted).toEqual([]);
  });

  it('one did not answer when we pinged it for another → looked at, if nobody told of it and it did not speak', () => {
    const desk = new Desk(20);
    desk.answers = (member) => (member === 7 ? 'reached' : 'direct');
    for (const member of [7, 8, 9]) desk.verdict.relayFailed(desk.now, member);
    desk.run(300);
    desk.ended(8, 'direct');
    desk.member(9, 'suspect');
    expect(desk.wanted).toEqual([]);
    desk.run(320);
    expect(desk.wanted.filter((member) => member !== 9)).toEqual([7]);
    desk.run(2_000);
    expect(desk.keys).toContain('link:7');
  });

  it('hundreds did not answer for others → of sixteen that is remembered', () => {
    const desk = new Desk(64);
    for (let member = 1; member < 64; member++) desk.verdict.relayFailed(desk.now, member);
    desk.run(1_000);
    expect(desk.wanted).toHaveLength(16);
  });
});

describe('verdict: SEGMENT', () => {
  it('two behind one switch lost together → the switch, not two boxes, and never a box first', () => {
    const desk = new Desk(20, switches);
    const lost = [6, 8];
    desk.answers = (m) => (lost.includes(m) ? 'nack' : 'direct');
    desk.run(3_000, [6, 2, 8, 3]);
    expect(desk.keys).toBe('segment:switch-1');
    expect(desk.said.map(({ keys }) => keys)).toEqual(['segment:switch-1']);
    expect(desk.verdict.statements[0]).toMatchObject({ members: lost });
  });

  it('two behind different switches → two boxes', () => {
    const desk = new Desk(20, switches);
    desk.answers = (m) => (m === 6 || m === 12 ? 'nack' : 'direct');
    desk.run(3_000, [6, 2, 12, 3]);
    expect(desk.keys).toBe('gone:12 gone:6');
  });

  it('two behind one switch, five seconds apart → two boxes', () => {
    const desk = new Desk(20, switches);
    desk.answers = (m) => (m === 6 ? 'nack' : 'direct');
    desk.run(5_000, [6, 2, 3]);
    desk.answers = (m) => (m === 6 || m === 8 ? 'nack' : 'direct');
    desk.run(3_000, [8, 2, 3]);
    expect(desk.keys).toBe('gone:6 gone:8');
  });

  it('nobody elsewhere answers, the neighbours do → it is our own switch', () => {
    const desk = new Desk(20, switches);
    desk.answers = (m) => (m < 5 ? 'direct' : 'silent');
    desk.run(3_000, everybodyBut(1, 2, 3, 4));
    expect(desk.keys).toBe('segment:switch-0');
    expect(desk.verdict.cutOff).toBe(true);
    expect(desk.said.map(({ keys }) => keys)).toEqual(['segment:switch-0']);
  });

  it('all agents share one location → it names no segment', () => {
    const plan = { agents: Array.from({ length: 4 }, () => ({ cell: 'main', labels: new Map<string, string>() })) };
    expect(locationsOf(plan)).toEqual(['', '', '', '']);
    const labelled = {
      agents: [
        { cell: 'main', labels: new Map([['location', 'hall']]) },
        { cell: 'main', labels: new Map([['switch', 's1']]) },
      ],
    };
    expect(locationsOf(labelled)).toEqual(['hall', 's1']);
  });
});

describe('verdict: LINK', () => {
  it('direct fails round after round, helpers reach it → the path, naming the other end; one answer takes it back', () => {
    const desk = new Desk(20, switches);
    desk.answers = (m) => (m === 7 ? 'reached' : 'direct');
    desk.run(2_000, [7, 2, 3]);
    expect(desk.keys).toBe('link:7');
    expect(desk.verdict.statements[0]!.evidence[0]).toMatchObject({ kind: 'reached-by-others', member: 7 });
    desk.answers = () => 'direct';
    desk.run(1_500);
    expect(desk.keys).toBe('');
  });

  it('the connection is made anew → looked at and taken back at once, not after the next second', () => {
    const desk = new Desk(20);
    desk.answers = (m) => (m === 7 ? 'reached' : 'direct');
    desk.run(2_000, [7, 2, 3]);
    expect(desk.keys).toBe('link:7');
    desk.answers = () => 'direct';
    desk.verdict.connected(desk.now, 7);
    desk.run(50);
    expect(desk.keys).toBe('');
  });

  it('one or two rounds that only helpers got through → chance, nothing is said', () => {
    const desk = new Desk(20);
    desk.ended(7, 'reached');
    desk.run(3_000, [2, 3]);
    expect(desk.said).toEqual([]);
  });

  it('a network that loses much anyway → more rounds are wanted before a path is blamed', () => {
    const rounds = (failing: number) => {
      const desk = new Desk(20, undefined, { linkSpanMs: 0 });
      for (let i = 0; i < 400; i++) {
        if (i % 10 < failing) desk.ended(1 + (i % 5), 'reached');
        desk.ended(1 + (i % 5), 'direct');
      }
      for (let n = 1; n < 30; n++) {
        desk.ended(7, 'reached');
        desk.now = instant(desk.now + 20);
        const out: VerdictOutput[] = [];
        desk.verdict.tick(desk.now, out);
        if (desk.keys === 'link:7') return n;
      }
      return 30;
    };
    expect(rounds(0)).toBe(4);
    expect(rounds(4)).toBeGreaterThan(4);
  });
});

describe('verdict: COORDINATOR and MY-UPLINK', () => {
  const connected = () => {
    const desk = new Desk(5);
    desk.coordinator('connected');
    for (let peer = 1; peer < 5; peer++) desk.digest(peer, 'connected');
    desk.run(100);
    return desk;
  };

  it('most of us lost it → the coordinator, also in the eyes of one who still has it', () => {
    const desk = connected();
    for (const peer of [1, 2, 3]) desk.digest(peer, 'not-heard');
    desk.run(100);
    expect(desk.keys).toBe('coordinator');
    expect(desk.uplinkChecks).toBe(1);
  });

  it('we alone → our line, after the others had a second to notice', () => {
    const desk = connected();
    desk.coordinator('lost');
    desk.run(800);
    expect(desk.keys).toBe('');
    desk.run(400);
    expect(desk.keys).toBe('my-uplink');
    expect(desk.verdict.statements[0]!.evidence).toEqual([{ kind: 'uplinks', lost: 1, known: 5 }]);
  });

  it('we never had a line while the others have theirs → our line, since a moment that a clock can show', () => {
    const desk = new Desk(5);
    for (let peer = 1; peer < 5; peer++) desk.digest(peer, 'connected');
    desk.coordinator('lost');
    desk.run(3_000);
    expect(desk.keys).toBe('my-uplink');
    const { since } = desk.verdict.statements[0]!;
    expect(since).toBeGreaterThanOrEqual(10_000);
    expect(since).toBeLessThanOrEqual(desk.now);
  });

  it('it returns for most, we still wait for our turn → no word of our line for a while', () => {
    const desk = connected();
    desk.coordinator('lost');
    for (let peer = 1; peer < 5; peer++) desk.digest(peer, 'lost');
    desk.run(3_000);
    for (let peer = 1; peer < 5; peer++) desk.digest(peer, 'connected');
    desk.run(1_500);
    expect(desk.keys).toBe('');
    expect(desk.uplinkChecks).toBeGreaterThan(0);
    desk.run(5_000);
    expect(desk.keys).toBe('my-uplink');
  });

  it('a peer lost it less than a second after our line was last looked at → looked at again when the second is over', () => {
    const desk = new Desk(5);
    desk.coordinator('connected');
    for (const peer of [1, 2, 3, 4]) desk.digest(peer, 'connected');
    desk.digest(1, 'lost');
    expect(desk.uplinkChecks).toBe(1);
    desk.run(600);
    desk.digest(1, 'connected');
    desk.digest(2, 'lost');
    desk.run(380);
    expect(desk.uplinkChecks).toBe(1);
    desk.run(40);
    expect(desk.uplinkChecks).toBe(2);
    desk.run(5_000);
    expect(desk.uplinkChecks).toBe(2);
  });

  it('a site without a coordinator → nothing is lost', () => {
    const desk = new Desk(5);
    desk.coordinator('lost');
    for (let peer = 1; peer < 5; peer++) desk.digest(peer, 'lost');
    desk.run(5_000);
    expect(desk.said).toEqual([]);
  });

  it('a newcomer who heard of two that lost it and of nobody else → waits for more digests', () => {
    const desk = new Desk(10);
    desk.coordinator('connected');
    desk.digest(1, 'lost');
    desk.digest(2, 'lost');
    desk.run(3_000);
    expect(desk.keys).toBe('');
  });
});

describe('verdict: of ourselves', () => {
  it('two timers late by more than T/2 → I am slow, until a while after the last', () => {
    const desk = new Desk(20);
    desk.verdict.late(desk.now, 150);
    desk.run(500);
    expect(desk.keys).toBe('');
    desk.verdict.late(desk.now, 150);
    desk.run(200);
    expect(desk.keys).toBe('i-am-slow');
    desk.run(1_600);
    expect(desk.keys).toBe('');
  });

  it('timers late by less than T/2 → nothing', () => {
    const desk = new Desk(20);
    for (let i = 0; i < 20; i++) {
      desk.verdict.late(desk.now, 99);
      desk.run(100);
    }
    expect(desk.said).toEqual([]);
  });

  it('no peer answers → I am cut off, and nobody else is blamed', () => {
    const desk = new Desk(20, switches);
    desk.answers = () => 'silent';
    desk.run(2_000, everybodyBut());
    expect(desk.said.map(({ keys }) => keys)).toEqual(['i-am-cut']);
    desk.answers = () => 'direct';
    desk.run(400, [3]);
    expect(desk.keys).toBe('');
  });

  it('cut off, then what membership holds dead meanwhile → not said; still dead some seconds after healing → said', () => {
    const desk = new Desk(20);
    desk.answers = () => 'silent';
    desk.run(2_000, everybodyBut());
    for (let m = 1; m < 20; m++) desk.member(m, 'dead');
    desk.answers = (m) => (m === 7 ? 'silent' : 'direct');
    desk.ended(1, 'direct');
    for (let m = 1; m < 20; m++) if (m !== 7) desk.member(m, 'alive');
    desk.run(5_000, [1, 2, 3]);
    expect(desk.keys).toBe('gone:7');
    expect(desk.said.map(({ keys }) => keys).filter((keys) => keys !== '')).toEqual(['i-am-cut', 'gone:7']);
  });

  it('healed while questions of before are open → their silence is of the cut, and nothing is made of it', () => {
    const desk = new Desk(20, switches);
    desk.answers = () => 'silent';
    desk.run(3_000, [1, 2, 3, 11, 12, 13]);
    expect(desk.keys).toBe('i-am-cut');
    desk.answers = (member) => (member < 5 ? 'direct' : 'open');
    desk.run(300, [1, 2, 3]);
    expect(desk.keys).toBe('');
    const said = desk.said.length;
    for (const [target, ...helpers] of [
      [12, 5, 6, 7],
      [13, 8, 9, 15],
      [14, 16, 17, 18],
    ] as const) {
      desk.ended(target, 'silent', [...helpers], 1_000);
    }
    // Those next to us are asked, nobody elsewhere is for a while.
    desk.run(1_500, [1, 2, 3]);
    expect(desk.said.slice(said)).toEqual([]);
  });

  it('silence while our own loop stalls → we are slow, not cut off', () => {
    const desk = new Desk(20);
    desk.answers = () => 'silent';
    for (let i = 0; i < 6; i++) {
      desk.verdict.late(desk.now, 300);
      desk.run(400, everybodyBut());
    }
    expect(desk.said.map(({ keys }) => keys)).toEqual(['i-am-slow']);
  });

  it('two agents, the other silent → gone while the coordinator is there, else cut off', () => {
    const pair = (hasUplink: boolean) => {
      const desk = new Desk(2);
      if (hasUplink) desk.coordinator('connected');
      desk.answers = () => 'silent';
      desk.run(2_000, [1]);
      return desk.keys;
    };
    expect(pair(true)).toBe('gone:1');
    expect(pair(false)).toBe('i-am-cut');
  });
});

describe('verdict: several at once', () => {
  it('a box gone, a path failed, our own line lost → three statements', () => {
    const desk = new Desk(20, switches);
    desk.coordinator('connected');
    for (let peer = 1; peer < 20; peer++) desk.digest(peer, 'connected');
    desk.coordinator('lost');
    desk.answers = (m) => (m === 6 ? 'nack' : m === 12 ? 'reached' : 'direct');
    desk.run(3_000, [6, 12, 2, 3]);
    expect(desk.keys).toBe('gone:6 link:12 my-uplink');
  });

  it('each statement and each evidence → has words for people, with names', () => {
    const desk = new Desk(20, switches);
    desk.answers = (m) => (m === 6 ? 'nack' : m === 12 ? 'reached' : 'direct');
    desk.run(3_000, [6, 12, 2, 3]);
    const name = (m: number) => `box-${m}`;
    const text = desk.verdict.statements.map((s) =>
      [describeStatement(s, name), ...s.evidence.map((e) => describeEvidence(e, name))].join(': '),
    );
    expect(text[0]).toMatch(
      /^box-6 is down or unreachable by all: box-6 did not answer \d+ probes in a row, nor to box-/,
    );
    expect(text[1]).toMatch(/^the direct path to box-12 fails, others reach it: \d+ probes in a row came through box-/);
  });

  it.each<[string, Evidence, string]>([
    ['one probe', { kind: 'unanswered', member: 6, rounds: 1, nacks: [] }, 'box-6 did not answer a probe'],
    ['one timer', { kind: 'late-timers', count: 1, maxMs: 512.4 }, 'a timer came late by 512 ms'],
    ['two timers', { kind: 'late-timers', count: 2, maxMs: 130 }, '2 timers came late, the worst by 130 ms'],
  ])('evidence of %s → said as a person would', (_, evidence, text) => {
    expect(describeEvidence(evidence, (m) => `box-${m}`)).toBe(text);
  });
});

describe('verdict: whatever comes', () => {
  it('any order of evidence, plausible or not → no throw, bounded, statements sorted and distinct', () => {
    const index = fc.integer({ min: -1, max: 9 });
    const word = fc.constantFrom('reached' as const, 'nack' as const, 'silent' as const);
    const event = fc.oneof(
      fc.record({ kind: fc.constant('ended' as const), tookMs: fc.nat(2_000), target: index, round: fc.nat(3), direct: fc.boolean(), helpers: fc.array(fc.record({ helper: index, word }), { maxLength: 6 }) }), // biome-ignore format: one record
      fc.record({ kind: fc.constant('member' as const), member: index, to: fc.constantFrom('unknown' as const, 'alive' as const, 'suspect' as const, 'dead' as const, 'left' as const) }), // biome-ignore format: one record
      fc.record({ kind: fc.constant('late' as const), ms: fc.integer({ min: 0, max: 5_000 }) }),
      fc.record({ kind: fc.constant('uplink' as const), peer: index, state: fc.constantFrom('connected' as const, 'lost' as const, 'not-heard' as const) }), // biome-ignore format: one record
      fc.record({ kind: fc.constant('proven' as const), member: index, boot: fc.integer({ min: -1, max: 4 }) }),
      fc.record({ kind: fc.constant('asked' as const), by: index, about: index }),
      fc.record({ kind: fc.constant('relay' as const), target: index }),
      fc.record({ kind: fc.constant('reborn' as const), member: fc.nat(8) }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), event), { maxLength: 120 }), (events) => {
        const size = 9;
        const boots = new Array<number>(size).fill(1);
        const verdict = new Verdict({
          options: verdictOptions({ probeIntervalMs: 200, verifyRounds: 2 }),
          self: 0,
          size,
          facts: {
            state: () => 'alive',
            bootOf: (m) => boots[m]!,
            aliveCount: () => size,
            locationOf: (m) => `l${m % 3}`,
            hearsDigestsOf: () => true,
          },
        });
        let now: Instant = instant(0);
        const out: VerdictOutput[] = [];
        const settle = (until: Instant) => {
          for (let turns = 0; verdict.deadline() <= until; turns++) {
            expect(turns).toBeLessThan(2_000);
            now = instant(Math.max(now, verdict.deadline()));
            verdict.tick(now, out);
          }
          now = until;
        };
        for (const [ms, what] of events) {
          settle(instant(now + ms));
          if (what.kind === 'ended') verdict.probeEnded(now, { ...what, startedAt: instant(now - what.tookMs) });
          else if (what.kind === 'member') verdict.memberChanged(now, what.member, what.to);
          else if (what.kind === 'late') verdict.late(now, what.ms);
          else if (what.kind === 'proven') verdict.proven(now, what.member, what.boot);
          else if (what.kind === 'asked') verdict.helpAsked(now, what.by, what.about, out);
          else if (what.kind === 'relay') verdict.relayFailed(now, what.target);
          else if (what.kind === 'reborn') boots[what.member]!++;
          else if (what.peer === 0) verdict.coordinatorChanged(now, what.state);
          else verdict.peerCoordinator(now, what.peer, what.state, out);
        }
        settle(instant(now + 10_000));
        const keys = verdict.statements.map(statementKey);
        expect(keys).toEqual([...new Set(keys)].sort());
        expect(keys.length).toBeLessThanOrEqual(size + 3);
        // At most one question per doubt and half interval, however much was thrown at it.
        expect(out.length).toBeLessThan(events.length * 40 + 400);
      }),
      { numRuns: 100 },
    );
  });
});
