import { describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { reasonText } from '../../../models/streaming/reason-text.ts';
import { type Judgement, StreamingDetector, streamingDefaults } from '../../../models/streaming/streaming-detector.ts';

/** A machine that runs in turns of 40 rows, at 20 and at 80, with some noise. */
function machine(rows: number, seed = 'healthy', from = 0): number[] {
  const random = new Random(seed, 'stream');
  return Array.from({ length: rows }, (_, i) => (Math.floor((i + from) / 40) % 2 === 0 ? 20 : 80) + noise(random));
}
const noise = (random: Random): number => 2 * (random.float() + random.float() - random.float() - random.float());

const judge = (values: readonly number[], detector = new StreamingDetector()): Judgement[] =>
  values.map((value) => detector.take(value));
const begins = (judgements: readonly Judgement[]): number[] => judgements.flatMap((one, i) => (one.begins ? [i] : []));

describe('streaming detector: what is new', () => {
  it('says nothing of what it learns from, and little of what stays as it was', () => {
    const said = judge(machine(4_000));
    expect(said.slice(0, 250).every(({ ready, begins }) => !ready && !begins)).toBe(true);
    expect(said.slice(250).every(({ ready }) => ready)).toBe(true);
    // Noise has no bound: now and then a row lies beyond all before it.
    expect(begins(said).length).toBeLessThanOrEqual(3);
  });

  it.each([
    ['above all limits', (i: number) => 140 + (i % 3)],
    ['between two ways of running', () => 50],
    ['of half the usual swing', (i: number) => 50 + (i % 2 === 0 ? 14 : -14)],
    ['frozen in the middle', () => 49.5],
  ])('a fault %s begins one event within its first rows, and one only', (_, fault) => {
    const healthy = machine(1_500);
    const values = [...healthy, ...Array.from({ length: 60 }, (_, i) => fault(i))];
    const detector = new StreamingDetector();
    const said = judge(values, detector);
    const at = begins(said.slice(1_500));
    expect(at).toHaveLength(1);
    expect(at[0]).toBeLessThan(32);
    expect(said.at(-1)?.active).toBe(true);
  });

  it('tells in words what it saw', () => {
    const detector = new StreamingDetector();
    judge(machine(1_000), detector);
    detector.take(140);
    const [first] = detector.reasons();
    expect(reasonText(first!, 'bar')).toMatch(
      /^the value is 140 bar, above the range seen \(1\d\.\d+ to 8\d\.\d+ bar\)$/,
    );
    detector.take(20);
    for (let i = 0; i < 40; i++) detector.take(50);
    const inside = new StreamingDetector();
    judge(machine(1_000), inside);
    inside.take(50);
    expect(reasonText(inside.reasons()[0]!)).toContain('the value is 50, where nothing was seen within the range seen');
    inside.take(-40);
    expect(reasonText(inside.reasons()[0]!)).toContain('below the range seen');
  });

  it('an event is over when it has been quiet, and a second one needs more', () => {
    const detector = new StreamingDetector({ quietRows: 20 });
    const said = judge([...machine(1_000), 200, ...machine(80, 'later')], detector);
    expect(said[1_000]?.begins).toBe(true);
    expect(said[1_015]?.active).toBe(true);
    expect(said[1_080]?.active).toBe(false);
    expect(said[1_080]?.limit).toBeGreaterThan(streamingDefaults.limit * 1.25);
  });

  it('what comes back is known, unless new things are held until they last', () => {
    const burst = [50, 50, 50, 50];
    const values = [...machine(800), ...burst, ...machine(120), ...burst, ...machine(120), ...burst];
    expect(begins(judge(values)).filter((i) => i >= 800)).toEqual([expect.any(Number)]);
    const holding = new StreamingDetector({ holdRows: 30, escalation: 0 });
    expect(begins(judge(values, holding)).filter((i) => i >= 800)).toHaveLength(3);
  });

  it('learns nothing and begins nothing while it is told not to learn', () => {
    const detector = new StreamingDetector();
    judge(machine(1_000), detector);
    const before = JSON.stringify(detector.state().features.map(({ points, scales }) => [points, scales]));
    const said = Array.from({ length: 50 }, () => detector.take(300, false));
    expect(begins(said)).toEqual([]);
    expect(JSON.stringify(detector.state().features.map(({ points, scales }) => [points, scales]))).toBe(before);
    expect(detector.rows).toBe(1_000);
  });
});

describe('streaming detector: what it may depend on', () => {
  const values = [...machine(900), 130, 131, ...machine(200, 'more')];

  it('says the same of a row whatever comes after it', () => {
    const whole = judge(values);
    for (const cut of [300, 901, 950]) expect(judge(values.slice(0, cut))).toEqual(whole.slice(0, cut));
  });

  it('goes on from its saved state as if it had never stopped', () => {
    const whole = judge(values);
    for (const cut of [3, 249, 901, 960]) {
      const first = new StreamingDetector();
      judge(values.slice(0, cut), first);
      const second = StreamingDetector.restore(JSON.parse(JSON.stringify(first.state())));
      if (!second.ok) throw new Error(second.error.message);
      expect(judge(values.slice(cut), second.value)).toEqual(whole.slice(cut));
    }
  });

  it('does not care for the unit: scaled and shifted values begin the same events', () => {
    const events = begins(judge(values));
    expect(events.length).toBeGreaterThan(0);
    expect(begins(judge(values.map((value) => 1_000 * value - 273)))).toEqual(events);
    expect(begins(judge(values.map((value) => value / 4_096)))).toEqual(events);
  });
});

describe('streaming detector: bad input and bounds', () => {
  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e300])('%s is no row', (bad) => {
    const values = machine(600);
    const clean = new StreamingDetector();
    const dirty = new StreamingDetector();
    judge(values, clean);
    for (const [i, value] of values.entries()) {
      if (i % 7 === 0) expect(dirty.take(bad)).toMatchObject({ ready: false, evidence: 0, begins: false });
      dirty.take(value);
    }
    expect(dirty.state()).toEqual(clean.state());
  });

  it('a stream that never moved finds its first movement new, and every number stays finite', () => {
    const said = judge([...new Array<number>(400).fill(5), 5.001, ...new Array<number>(20).fill(5)]);
    expect(begins(said)).toEqual([400]);
    expect(said.every(({ evidence, limit, peak }) => [evidence, limit, peak].every(Number.isFinite))).toBe(true);
  });

  it('memory stays within its bound on a walk that is always somewhere new', () => {
    const random = new Random('walk', 'stream');
    const detector = new StreamingDetector();
    let value = 0;
    for (let i = 0; i < 12_000; i++) detector.take((value += noise(random)));
    expect(detector.size).toBeLessThanOrEqual(4 * 256 + 3 * 300);
    expect(JSON.stringify(detector.state()).length).toBeLessThan(200_000);
  });

  it('an interruption empties windows and keeps what is known', () => {
    const detector = new StreamingDetector();
    judge(machine(1_000), detector);
    const { size } = detector;
    detector.interrupt();
    expect(detector.size).toBe(size);
    expect(detector.state().windows.every((window) => window.length === 0)).toBe(true);
    expect(begins(judge(machine(100, 'after'), detector))).toEqual([]);
  });

  it.each([
    ['nothing', undefined, 'no state of a stream'],
    ['another version', { millwrightStream: 2 }, 'no state of a stream'],
    ['a text among the numbers', { ...new StreamingDetector().state(), rows: 'x' }, 'rows'],
    ['too few windows', { ...new StreamingDetector().state(), windows: [] }, '0 windows'],
    ['too few features', { ...new StreamingDetector().state(), features: [] }, '0 features'],
    ['other settings', new StreamingDetector({ limit: 2 }).state(), 'other settings'],
  ])('refuses %s as a state, with the reason', (_, saved, reason) => {
    const restored = StreamingDetector.restore(saved);
    expect(restored.ok).toBe(false);
    if (!restored.ok) expect(restored.error.message).toContain(reason);
  });
});
