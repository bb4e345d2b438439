import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createStreamingScorer } from '../../../agent/adapters/models/streaming-scorer.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import { explainSite } from '../../../agent/config/explain.ts';
import { formatProblems } from '../../../agent/config/problem.ts';
import { parseSite } from '../../../agent/config/site-file.ts';
import type { ModelRest } from '../../../agent/core/health/shedding.ts';
import { PaperBox } from '../../support/paper-box.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const file = (model: string) => `millwright: 1
site: hall
agents: { box: { checks: { busy: { cpu: used, warn: above 99% }, disk: { disk: /, warn: above 90% } } } }
people: { anna: { may: [order] } }
assets:
  plc: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } } }
  pump:
    source: plc
    signals:
      flow: { address: "ns=1;s=flow", unit: l/min, every: 1s, fresh: 10s }
      state: { address: "ns=1;s=state", every: 1s, fresh: 10s, states: { 0: stopped, 1: running } }
    models:
      usual: ${model}
    workflows:
      look:
        when: anomalous("usual")
        steps: [ { notify: { people: anna, text: look at the pump } } ]
        verify: fresh("flow")
        soak: 1s
        budget: 1 per 1d
`;
const plain = '{ learn: { every: 1s, after: 200s }, inputs: { flow: flow } }';

function compile(model: string) {
  const parsed = parseSite(file(model), 'site.yaml');
  if (parsed.site === undefined) throw new Error(formatProblems(parsed.problems));
  return { site: parsed.site, model: parsed.model };
}

/** A pump beside a real core; what is learnt lies in `folder`. */
async function hall(model: string, folder?: string, maintenance?: () => string | undefined, rest?: () => ModelRest) {
  const kept = folder ?? (await temporaryFolder());
  const { site } = compile(model);
  const box = new PaperBox(site.plan);
  const warned: string[] = [];
  const scorer = createStreamingScorer({
    site,
    deliver: (input) => box.driver.deliver(input),
    log: { info: () => {}, warn: (_, text) => warned.push(text) },
    folder: kept,
    ...(maintenance === undefined ? {} : { maintenance }),
    ...(rest === undefined ? {} : { rest }),
    wall: () => wallTime(1_700_000_000_000 + box.now),
  });
  onTestFinished(() => scorer.stop());
  await scorer.start();
  await box.pass(30_000);
  const random = new Random('pump', 'flow');
  const sample = (signal: number, value: number, quality: 'good' | 'bad' = 'good', time = box.now) => {
    const sourceTime = wallTime(1_700_000_000_000 + time);
    const one = { signal, value, quality, sourceTime, receiveTime: instant(box.now) };
    box.driver.deliver({ kind: 'sample-received', sample: one });
    scorer.onSample(one);
  };
  /** So many rows of about this flow; the last one is open until the next comes. */
  const feed = async (rows: number, flow: number, state = 1) => {
    for (let i = 0; i < rows; i++) {
      await box.pass(1_000);
      sample(1, state);
      sample(0, flow + random.float());
    }
    await box.pass(10);
  };
  const status = () => box.core.health.snapshot().models[0];
  return { box, scorer, site, feed, sample, status, warned, folder: kept, started: () => box.issued.length };
}

describe('a model that learns on the box', () => {
  it('learns, then judges: unknown, usual, and what was never there, in words', async () => {
    const { feed, status, started, scorer } = await hall(plain);
    await feed(60, 40);
    expect(status()).toMatchObject({ anomalous: 'unknown', why: 'learning, 59 of 200 rows' });
    await feed(180, 40);
    expect(status()?.anomalous).toBe('false');
    expect(scorer.stats()[0]).toMatchObject({ state: 'judging', rows: 239 });
    expect(started()).toBe(0);
    await feed(4, 55);
    expect(status()?.anomalous).toBe('true');
    expect(started()).toBe(1);
  });

  it('one event is one anomaly, and it is over when it has been quiet', async () => {
    const { feed, status, box } = await hall(plain);
    await feed(240, 40);
    await feed(3, 55);
    await feed(2, 40);
    await feed(2, 56);
    await feed(20, 40);
    expect(status()?.anomalous).toBe('true');
    await feed(75, 40);
    expect(status()?.anomalous).toBe('false');
    const told = box.reports.filter((body) => body.type === 'event' && body.subject === 'pump/usual');
    expect(told).toMatchObject([
      {
        name: 'anomaly-risen',
        text: expect.stringMatching(
          /^usual: flow: .* 55\.\d+ l\/min, above the range seen \(40\.\d+ to 40\.\d+ l\/min\)$/,
        ),
      },
      { name: 'anomaly-gone', text: expect.stringMatching(/^usual: nothing new in \d+ rows$/) },
    ]);
  });

  it('goes on after a restart, from what it had learnt', async () => {
    const first = await hall(plain);
    await first.feed(240, 40);
    await first.scorer.stop();
    const second = await hall(plain, first.folder);
    expect(second.warned).toEqual([]);
    expect(second.scorer.stats()[0]).toMatchObject({ state: 'judging', rows: 239 });
    await second.feed(5, 40);
    expect(second.status()?.anomalous).toBe('false');
    await second.feed(4, 60);
    expect(second.status()?.anomalous).toBe('true');
  });

  it.each([
    ['half a file', (text: string) => text.slice(0, text.length / 2)],
    ['another JSON', () => '[1, 2]'],
    ['numbers that are texts', (text: string) => text.replace('"rows":', '"rows":"many","were":')],
  ])('%s on disk → learns anew and says why', async (_, spoil) => {
    const first = await hall(plain);
    await first.feed(20, 40);
    await first.scorer.stop();
    const [name] = await readdir(first.folder);
    const path = join(first.folder, name!);
    await writeFile(path, spoil(await readFile(path, 'utf8')));
    const second = await hall(plain, first.folder);
    expect(second.warned).toEqual([expect.stringMatching(/^learns anew: /)]);
    expect(second.scorer.stats()[0]?.rows).toBe(0);
  });

  it('its box is over its budget → neither judged nor learnt, and that is said; back again it goes on from what it learnt', async () => {
    let rest: ModelRest = 'nothing';
    const { feed, status, scorer } = await hall(plain, undefined, undefined, () => rest);
    await feed(240, 40);
    const rows = scorer.stats()[0]?.rows;
    rest = 'all';
    // Far from what is usual, and nobody says so.
    await feed(20, 55);
    expect(scorer.stats()[0]).toMatchObject({ rows, gatedReadings: 20 });
    expect(status()).toMatchObject({ anomalous: 'unknown', why: 'not scored: this agent is over its budget' });
    rest = 'nothing';
    await feed(20, 40);
    expect(status()?.anomalous).toBe('false');
    expect(scorer.stats()[0]?.state).toBe('judging');
  });

  it('in maintenance of its thing → neither judged nor learnt, and that is said', async () => {
    let maintenance: string | undefined;
    const { feed, status, scorer } = await hall(plain, undefined, () => maintenance);
    await feed(240, 40);
    const { rows } = scorer.stats()[0]!;
    maintenance = 'new-seal';
    await feed(40, 70);
    expect(scorer.stats()[0]?.rows).toBe(rows);
    expect(status()).toMatchObject({ anomalous: 'unknown', why: 'not judged in maintenance new-seal' });
    maintenance = undefined;
    await feed(40, 40);
    expect(status()?.anomalous).toBe('false');
    await feed(4, 70);
    expect(status()?.anomalous).toBe('true');
  });

  it('what models learnt that are gone is kept for the newest few only', async () => {
    const folder = await temporaryFolder();
    for (let i = 0; i < 40; i++) await writeFile(join(folder, `gone~m${i}.json`), '{}');
    await writeFile(join(folder, 'not-ours.txt'), '');
    const { feed, scorer } = await hall(plain, folder);
    await feed(5, 40);
    await scorer.stop();
    const left = await readdir(folder);
    expect(left.filter((name) => name.startsWith('gone~'))).toHaveLength(32);
    expect(left).toEqual(expect.arrayContaining(['pump~usual.json', 'not-ours.txt']));
  });

  it('readings that are bad, late or in another state of the plant make no row', async () => {
    const { feed, sample, scorer, box, status } = await hall(
      '{ learn: { every: 1s, after: 200s }, inputs: { flow: flow }, only-in: [running] }',
    );
    await feed(240, 40);
    const { rows } = scorer.stats()[0]!;
    sample(0, Number.NaN, 'bad');
    sample(0, Number.POSITIVE_INFINITY);
    sample(0, 900, 'good', box.now - 3_000);
    await feed(30, 0, 0);
    expect(scorer.stats()[0]).toMatchObject({ rows, badReadings: 2, lateReadings: 1, gatedReadings: 30 });
    expect(status()?.why).toBe('not judged while stopped');
    await feed(40, 40);
    expect(status()?.anomalous).toBe('false');
    expect(scorer.stats()[0]!.rows).toBeGreaterThan(rows + 35);
  });

  it('takes the value of a check for its input', async () => {
    const { scorer, box } = await hall('{ learn: { every: 1s, after: 100s }, inputs: { flow: flow } }');
    const { site } = compile(plain);
    const own = parseSite(
      file(plain).replace(
        'agents: { box: {',
        'agents: { box: { models: { load: { learn: { every: 1s, after: 250s }, inputs: { cpu: busy } } },',
      ),
      'site.yaml',
    ).site!;
    expect(own.plan.models[0]?.learn?.checks).toEqual([{ name: 'cpu', check: 0 }]);
    expect(own.plan.models[0]?.runsOn).toEqual(own.plan.checks[0]?.runsOn);
    const scores: number[] = [];
    const learner = createStreamingScorer({
      site: own,
      deliver: (input) => void (input.kind === 'score-computed' && scores.push(input.score.value)),
      log: { info: () => {}, warn: () => {} },
      folder: await temporaryFolder(),
      wall: () => wallTime(1_700_000_000_000 + box.now),
    });
    onTestFinished(() => learner.stop());
    await learner.start();
    for (let i = 0; i < 300; i++) {
      box.now += 1_000;
      learner.onCheck(0, { status: 'ok', value: i < 290 ? 20 + (i % 7) : 95, text: '', perf: [] });
    }
    expect(learner.stats()[0]?.rows).toBe(299);
    expect(scores.slice(0, 240).every(Number.isNaN)).toBe(true);
    expect(scores.slice(255, 289).every((score) => score <= 2)).toBe(true);
    expect(scores.at(-1)).toBeGreaterThan(2);
    expect([scorer.stats().length, site.plan.models.length]).toEqual([1, 1]);
  });

  it('is explained in words', () => {
    const { site, model } = compile(
      '{ learn: { every: 1m, after: 4h, hold: 10m }, inputs: { flow: flow }, only-in: [running] }',
    );
    expect(explainSite(site, model!, 'pump')).toContain(
      'pump/usual: learns on the box what is usual for flow from pump/flow, in means over 1 min, only while pump is running; judges after 4 h, sensitivity medium. What is new is learnt when it has lasted 10 min.',
    );
  });

  it('mistakes are told all at once', () => {
    const told = (model: string) => parseSite(file(model), 'site.yaml').problems.map(({ message }) => message);
    expect(told('{ inputs: { flow: flow } }')).toEqual([
      'Model usual is nothing yet: say `file: bearing/3`, or `learn: 1m` to learn on the box',
    ]);
    expect(told('{ file: a, learn: 1m, inputs: { flow: flow } }')).toEqual([
      'Model usual has a file and learns: one of the two',
    ]);
    expect(told('{ learn: 1m, shadow: b, retrain: 7d, inputs: { flow: flow } }')).toEqual([
      '"shadow" goes with a file: what learns by itself has nothing to go back to',
      '"retrain" goes with a file: what learns by itself has nothing to go back to',
    ]);
    expect(told('{ learn: { every: 10ms, after: 5s }, inputs: { flow: flux, load: busy } }')).toEqual([
      'Rows of 10 ms: 100 ms to 1 d',
      '5 s are 0 rows to learn from: 100 (1.667 h) to 20000 (13.889 d)',
      'pump has no signal "flux": it is one of flow, state; nor is it a check',
      'pump has no signal "busy": it is one of flow, state; nor is it a check',
    ]);
  });
});
