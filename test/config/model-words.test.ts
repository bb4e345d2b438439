import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bundleContent } from '../../agent/config/bundle-content.ts';
import { explainSite } from '../../agent/config/explain.ts';
import { parseSite } from '../../agent/config/site-file.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const text = (model: string, when = 'anomalous("wear")') => `millwright: 1
site: hall
agents: { box: {} }
assets:
  plc: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } } }
  pump:
    source: plc
    signals: { flow: { address: "ns=1;s=f", unit: bar } }
    models: { wear: { ${model}, inputs: { flow: flow } } }
    alarms:
      worn:
        when: ${when}
        priority: low
        cause: c
        consequence: c
        response: r
        respond-within: 1h
`;
const withState = (model: string) =>
  text(model).replace(
    'signals: { flow: { address: "ns=1;s=f", unit: bar } }',
    'signals: { flow: { address: "ns=1;s=f", unit: bar }, state: { address: "ns=1;s=s", states: { 0: stopped, 1: running } } }',
  );
const said = (model: string, when?: string) =>
  parseSite(text(model, when), 'site.yaml').problems.map(({ path, message }) => `${path}: ${message}`);

describe('words of models', () => {
  it('shadow → its hash stands in the bundle beside the model’s, and comes back to whoever loads it', async () => {
    const root = await temporaryFolder();
    for (const [file, digit] of [
      ['wear/3', 'a'],
      ['wear/4', 'b'],
    ] as const) {
      await mkdir(join(root, file), { recursive: true });
      await writeFile(join(root, file, 'manifest.json'), JSON.stringify({ onnx: { sha256: digit.repeat(64) } }));
    }
    const siteFile = text('file: wear/3, shadow: wear/4, false-alarms: 2%, retrain: 7d');
    const { site, model } = parseSite(siteFile, 'site.yaml', { modelRoot: root });
    if (site === undefined || model === undefined) throw new Error('does not compile');
    const key = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }) as string;
    const parts = { siteFile, keys: new Map([['box', key]]), signingKey: key, recoveryKey: key, parent: undefined };
    const content = bundleContent({ site, model, ...parts });
    if (!content.ok) throw new Error(content.error);
    const manifest = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(content.value.models).toEqual([
      { file: 'wear/3', sha256: 'a'.repeat(64), manifest },
      { file: 'wear/4', sha256: 'b'.repeat(64), manifest },
    ]);
    const models = new Map(content.value.models.map(({ file, sha256 }) => [file, sha256]));
    const manifests = new Map(content.value.models.flatMap((one) => (one.manifest ? [[one.file, one.manifest]] : [])));
    const loaded = parseSite(siteFile, 'site.yaml', { modelRoot: root, bundle: { models, manifests } }).site;
    expect(loaded?.plan.models[0]).toMatchObject({
      sha256: 'a'.repeat(64),
      manifestSha256: manifests.get('wear/3'),
      shadow: { file: 'wear/4', sha256: 'b'.repeat(64), manifestSha256: manifests.get('wear/4') },
      falseAlarms: 0.02,
      retrainMs: 7 * 86_400_000,
    });
    expect(explainSite(site, model, 'pump')).toMatch(
      /wear\/4 is scored beside it and raises nothing\. Where more than 2 % .* Every 7 d another one is trained/,
    );
  });

  it('only-in with a file → its states stand in the plan, and in words', () => {
    const { site, model, problems } = parseSite(withState('file: a, only-in: [running]'), 'site.yaml');
    expect(problems).toEqual([]);
    const state = site?.plan.signals.findIndex(({ id }) => id === 'pump/state');
    expect(site?.plan.models[0]?.onlyIn).toEqual([{ state, states: ['running'] }]);
    expect(explainSite(site!, model!, 'pump')).toMatch(
      /Only while pump is running: what it sees in other states is not judged, does not count/,
    );
    const wrong = (one: string) => parseSite(withState(one), 'site.yaml').problems.map(({ message }) => message);
    expect(wrong('file: a, only-in: [runing]')).toEqual([
      expect.stringMatching(/State of pump is never "runing": it is one of stopped, running/),
    ]);
    expect(said('file: a, only-in: [running]').join()).toMatch(/pump has no signal "state"/);
  });

  it('only-in of another machine → whoever reads the inputs reads that state along; refused where it may not', () => {
    const two = (extra = '') =>
      parseSite(
        withState('file: a, only-in: { saw: [running] }').replace(
          'assets:\n',
          `assets:\n  saw-plc: { connect: { modbus: { host: 10.0.0.6${extra} } } }\n  saw: { source: saw-plc, signals: { state: { address: "input:30001", type: uint16, states: { 0: stopped, 1: running } } } }\n`,
        ),
        'site.yaml',
      );
    const { site, problems } = two();
    expect(problems).toEqual([]);
    const saw = site?.plan.signals.findIndex(({ id }) => id === 'saw/state') ?? -1;
    expect(site?.plan.models[0]?.onlyIn).toEqual([{ state: saw, states: ['running'] }]);
    expect([...(site?.alongside?.values() ?? [])]).toEqual([[saw]]);
    expect(
      two(', clients: 1')
        .problems.map(({ message }) => message)
        .join(),
    ).toMatch(/saw-plc bears one client only/);
  });

  it.each([
    [
      'shadow that leaves the folder',
      'file: a, shadow: ../b',
      /models\/wear\/shadow: "\.\.\/b" leaves the model folder/,
    ],
    ['shadow of itself', 'file: a, shadow: a', /is the model itself/],
    ['limit that is no share', 'file: a, false-alarms: 3 bar', /is no share of windows: say for example 2%/],
    ['retraining every minute', 'file: a, retrain: 1m', /too short/],
    ['shadow of what learns by itself', 'learn: 1m, shadow: b', /"shadow" goes with a file/],
  ])('%s → refused with what would be right', (_what, model, message) => {
    expect(said(model).join('\n')).toMatch(message);
  });

  it.each([
    ['forecast without a unit', 'forecast("wear") < 48', /has no unit: say in which/],
    ['forecast in an unknown unit', 'forecast("wear in fortnights") < 2', /"fortnights" is not a unit/],
    ['class compared with a number', 'class("wear") == 3', /text and a number cannot be compared/],
    ['class of no model', 'class("wera") == "worn"', /did you mean "wear"/],
  ])('%s → refused where it stands', (_what, when, message) => {
    expect(said('file: a', when).join('\n')).toMatch(message);
  });

  it.each([
    ['class that it never gives', 'class("wear") == "wron"', /is never "wron": did you mean "worn"/],
    ['forecast of another dimension', 'forecast("wear in bar") < 2', /forecast of pressure, wear\/3 forecasts h/],
    ['what it does give', 'class("wear") == "worn" || forecast("wear in d") < 2', undefined],
  ])('manifest at hand, condition asks for a %s → warned, never refused', async (_what, when, message) => {
    const root = await temporaryFolder();
    await mkdir(join(root, 'wear/3'), { recursive: true });
    const outputs = { class: { labels: { 0: 'good', 1: 'worn' } }, forecast: { unit: 'h' } };
    await writeFile(join(root, 'wear/3/manifest.json'), JSON.stringify({ outputs }));
    const { site, problems } = parseSite(text('file: wear/3', when), 'site.yaml', { modelRoot: root });
    expect(site).toBeDefined();
    expect(problems.map(({ severity }) => severity)).toEqual(message === undefined ? [] : ['warning']);
    if (message !== undefined) expect(problems[0]?.message).toMatch(message);
  });
});
