import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createModelScorer } from '../../../agent/adapters/models/onnx-runner.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import { parseSite } from '../../../agent/config/site-file.ts';
import { wrapCommand } from '../../../models/foreign/command.ts';
import { eventually } from '../../support/eventually.ts';
import { torchForecast } from '../../support/foreign-graphs.ts';
import { PaperBox } from '../../support/paper-box.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const site = (when: string) => `millwright: 1
site: hall
agents: { box: {} }
people: { anna: { may: [order] } }
assets:
  plc: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } } }
  pump:
    source: plc
    signals:
      wear: { address: "ns=1;s=wear", unit: mm, every: 1s, fresh: 5s }
      load: { address: "ns=1;s=load", unit: "%", every: 1s, fresh: 5s }
    models:
      life: { file: life, inputs: { wear: wear, load: load }, raise: 3, clear: 3 }
    workflows:
      order-bearing:
        when: ${when}
        steps: [ { notify: { people: anna, text: order a bearing } } ]
        verify: fresh("wear")
        soak: 1s
        budget: 1 per 1d
`;

/** A model as PyTorch exports it, wrapped, running beside a real core that polls its two signals. */
async function hall(when: string) {
  const root = await temporaryFolder();
  await writeFile(join(root, 'net.onnx'), torchForecast());
  const voice = { out: () => {}, error: () => {} };
  const said = {
    inputs: 'wear=mm,load=%',
    forecast: 'hours',
    unit: 'h',
    class: 'logits',
    labels: '0=good,1=fair,2=bad',
  };
  expect(await wrapCommand({ onnx: join(root, 'net.onnx'), out: join(root, 'life'), ...said }, voice)).toBe(0);
  const { site: compiled, problems } = parseSite(site(when), 'site.yaml', { modelRoot: root });
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  if (compiled === undefined) throw new Error('the site file does not compile');
  const box = new PaperBox(compiled.plan);
  const scorer = createModelScorer({
    site: compiled,
    deliver: (input) => box.driver.deliver(input),
    log: { info: () => {}, warn: () => {} },
    catalogRoot: root,
  });
  onTestFinished(() => scorer.stop());
  await scorer.start();
  await box.pass(30_000);
  /** Rows of wear at one a second, all of them scored when it returns. */
  const feed = async (...wears: number[]) => {
    for (const wear of wears) {
      await box.pass(1_000);
      for (const [signal, value] of [wear, 50].entries()) {
        const sourceTime = wallTime(1_700_000_000_000 + box.now);
        const sample = { signal, value, quality: 'good' as const, sourceTime, receiveTime: instant(box.now) };
        box.driver.deliver({ kind: 'sample-received', sample });
        scorer.onSample(sample);
      }
      await eventually(() => scorer.stats()[0]?.state !== 'opening', { deadlineMs: 5_000 });
    }
    const before = () => scorer.stats()[0]?.scored ?? 0;
    let last = -1;
    await eventually(
      () => {
        const now = before();
        const still = now === last;
        last = now;
        return still;
      },
      { deadlineMs: 5_000 },
    );
    await box.pass(100);
  };
  const started = () => box.issued.map(({ action }) => action.kind);
  return { box, feed, started, plan: compiled.plan };
}

describe('what a model tells, in conditions', () => {
  it('forecast falls below its limit for as many windows as `raise` → the workflow starts, once', async () => {
    const { feed, started, box } = await hall('forecast("life in d") < 2');
    await feed(...new Array<number>(10).fill(1));
    expect(started()).toEqual([]);
    // 100 h less 10 × 8: 20 h are left.
    await feed(...new Array<number>(14).fill(8));
    expect(started()).toEqual(['notify']);
    const incident = box.reports.find((body) => body.type === 'incident' || body.type === 'run');
    expect(incident).toBeDefined();
  });

  it('one odd window between healthy ones → starts nothing', async () => {
    const { feed, started } = await hall('forecast("life in h") < 48');
    await feed(...new Array<number>(12).fill(1), 60, ...new Array<number>(3).fill(1));
    // The mean of a window of eight rows with one 60: 8.4, and 16 h are forecast, for eight windows in a row.
    expect(started()).toEqual(['notify']);
    const calm = await hall('forecast("life in h") < 48');
    await calm.feed(...new Array<number>(12).fill(1), 30, ...new Array<number>(10).fill(1));
    expect(calm.started()).toEqual([]);
  });

  it('class of the last windows → is a text in a condition', async () => {
    const { feed, started, box } = await hall('class("life") == "bad" && score("life") < 3');
    await feed(...new Array<number>(12).fill(9));
    // The model gives no score: the whole stays unknown, and an unknown `when` starts nothing.
    expect(started()).toEqual([]);
    expect(JSON.stringify(box.core.health.explain(0))).toContain('this model gives no score');
    const other = await hall('class("life") == "bad"');
    await other.feed(...new Array<number>(10).fill(1));
    expect(other.started()).toEqual([]);
    await other.feed(...new Array<number>(14).fill(9));
    expect(other.started()).toEqual(['notify']);
  });

  it('forecast asked in a unit of another dimension → unknown, with both dimensions told', async () => {
    const { feed, started, box } = await hall('forecast("life in bar") < 48');
    await feed(...new Array<number>(14).fill(9));
    expect(started()).toEqual([]);
    expect(JSON.stringify(box.core.health.explain(0))).toContain('forecasts a time, a pressure was asked for');
  });

  it('inputs go stale → forecast and class are unknown', async () => {
    const { feed, box, plan } = await hall('forecast("life in h") < 48 || class("life") == "bad"');
    await feed(...new Array<number>(12).fill(1));
    const condition = plan.conditions.findIndex(({ id }) => id.endsWith('when'));
    expect(box.core.health.truth(condition)).toBe('false');
    await box.pass(10_000);
    expect(box.core.health.truth(condition)).toBe('unknown');
  });

  it('forecast without a unit → the site file is refused with what to say', () => {
    const { problems } = parseSite(site('forecast("life") < 48'), 'site.yaml');
    expect(problems[0]?.message).toMatch(/has no unit: say in which, for example forecast\("life in h"\)/);
  });
});
