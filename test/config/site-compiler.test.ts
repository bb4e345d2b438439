import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { explainSite } from '../../agent/config/explain.ts';
import { formatProblems } from '../../agent/config/problem.ts';
import { checkSite, parseSite, setSiteParams } from '../../agent/config/site-file.ts';
import { siteJsonSchema } from '../../agent/config/site-schema.ts';
import type { Site } from '../../agent/driver/bindings.ts';

const demo = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'simulations', 'demo', 'site.yaml');

function compiled(text: string): Site {
  const { site, problems } = parseSite(text, 'site.yaml');
  if (site === undefined) throw new Error(formatProblems(problems));
  return site;
}
const find = <T extends { readonly id: string }>(all: readonly T[], id: string): T => {
  const found = all.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no ${id} among ${all.map((one) => one.id).join(' ')}`);
  return found;
};

const plant = `millwright: 1
site: plant
params: { plc: "opc.tcp://10.0.0.5:4840" }
types:
  press:
    params: { root: text, limit: 7.1 mm/s, side: left }
    signals:
      state: { address: $root.State, states: { 0: stopped, 1: running } }
      lockout: { address: $root.LOTO }
      rms: { address: $root.RMS, unit: mm/s, every: 100ms }
      oil: { address: $root.Oil, scale: 5530..27648 -> 0..10 bar, fresh: 5s, accept: uncertain }
      in: { address: $root.In, unit: °C }
      out: { address: $root.Out, unit: K }
    checks:
      vibration: { signal: rms, crit: above $limit, deadband: 5%, raise: 3 of 5, clear: 30s, only-in: [running] }
      oil: { signal: oil, crit: below 200 kPa }
      hot: { signal: in, crit: above 350 K }
      cooling:
        crit-when: signal("out in °C") - signal("in in °C") > 15 && state() == "running"
      quiet: { stale: rms, every: 2s }
    alarms:
      wear:
        when: crit("vibration") || unknown("oil")
        priority: high
        cause: wear
        consequence: stop
        response: grease the $side bearing, costs 5 $$
        respond-within: 8h
        local: [/bin/light, amber]
cells:
  a: { pace: wifi }
  b: { pace: wifi }
agents:
  box-1: { cell: a, labels: { hw: n100 } }
  box-2: { cell: a, labels: { hw: n97 } }
  box-3: { cell: b, labels: { hw: n100 } }
assets:
  plc: { cell: a, connect: { opcua: { endpoint: $plc, security: sign, user: mw, secret: "env:PLC" } } }
  press-7: { is: press, cell: a, source: plc, with: { root: "ns=2;s=P7", side: right } }
  press-8:
    is: press
    cell: a
    source: plc
    with: { root: "ns=2;s=P8" }
    but: { checks/vibration/crit: above 9 mm/s, alarms/wear: none, why: old guide rails }
  chiller:
    connect: { modbus: { host: 10.3.0.9, order: cdab } }
    via: [box-3, box-1]
    signals:
      supply: { address: "holding:40011", type: float32, unit: °C }
  lamp:
    checks:
      up: { tcp: "10.0.0.7:80", every: 5s }
  bridge:
    cell: b
    duties:
      run: { process: [/opt/bridge, 1], env: { LINE: 3 }, exclusive: false }
    checks:
      up: { process: run, every: 200ms }
      web: { http: "http://127.0.0.1:8080/health" }
    workflows:
      restart:
        when: crit("up") || crit("web")
        only-if: not(dead("box-2"))
        budget: 3 per 1d
        steps:
          - process.restart: run
          - command.run: [/bin/true]
          - wait: 2s
        verify: ok("up") && ok("web")
duties:
  historian: { process: [/opt/h], exclusive: false, cell: a, where: label("hw") == "n100" }
checks:
  shaking:
    crit-when: at_least(2, "press/vibration")
  nobody:
    warn-when: not(held("historian")) || !held("plc/poll")
`;

describe('site file: what it compiles to', () => {
  const site = compiled(plant);
  const { plan } = site;
  const duty = (id: string) => find(plan.duties, id);

  it('connected assets → a poll duty each, by via or by the agents of its cell', () => {
    expect(duty('plc/poll')).toMatchObject({ work: { kind: 'poll' }, eligible: [0, 1] });
    expect(duty('plc/poll').refusedBecause.get(2)).toBe('not in cell a');
    expect(duty('chiller/poll').eligible).toEqual([0, 2]);
    expect(duty('chiller/poll').refusedBecause.get(1)).toContain('via');
  });

  it('duty with `where` → only agents with the label, and the others are told why', () => {
    expect(duty('site/historian').eligible).toEqual([0]);
    expect(duty('site/historian').refusedBecause.get(1)).toBe('label("hw") == "n100" is false');
  });

  it('asset with checks and no source → a watch duty; with one process → none, its checks run beside it', () => {
    expect(plan.duties.map((one) => one.id)).toEqual([
      'plc/poll',
      'chiller/poll',
      'lamp/watch',
      'bridge/run',
      'site/historian',
    ]);
    expect(find(plan.checks, 'lamp/up').runsOn).toEqual({ on: 'holder', duty: duty('lamp/watch').index });
    expect(find(plan.checks, 'bridge/web').runsOn).toEqual({ on: 'holder', duty: duty('bridge/run').index });
    expect(find(plan.workflows, 'bridge/restart').runsOn).toEqual({ on: 'holder', duty: duty('bridge/run').index });
  });

  it('types → entries once per thing, parameters filled in, `$$` a dollar', () => {
    const press7 = find(plan.signals, 'press-7/rms');
    expect(site.tags.get(press7.index)).toMatchObject({ address: 'ns=2;s=P7.RMS', everyMs: 100, unit: 'mm/s' });
    expect(find(plan.alarms, 'press-7/wear')).toMatchObject({
      alarmId: 'wear.press-7',
      response: 'grease the right bearing, costs 5 $',
      respondWithinMs: 28_800_000,
      local: ['/bin/light', 'amber'],
    });
  });

  it('`but` → replaces one value and takes one entry out, for that thing only', () => {
    expect(find(plan.checks, 'press-7/vibration').crit).toEqual({ side: 'above', value: 7.1 });
    expect(find(plan.checks, 'press-8/vibration').crit).toEqual({ side: 'above', value: 9 });
    expect(plan.alarms.map((one) => one.id)).not.toContain('press-8/wear');
  });

  it('limits → in the unit of the signal', () => {
    expect(find(plan.checks, 'press-7/oil').crit).toEqual({ side: 'below', value: 2 });
    expect(find(plan.checks, 'press-7/hot').crit?.value).toBeCloseTo(76.85, 9);
  });

  it('scale, freshness, quality and defaults → as the file says or implies', () => {
    const oil = find(plan.signals, 'press-7/oil');
    expect(oil).toMatchObject({ unit: 'bar', freshMs: 5_000, everyMs: 1_000, acceptUncertain: true });
    expect(site.tags.get(oil.index)?.scale).toEqual({ rawLo: 5530, rawHi: 27_648, lo: 0, hi: 10 });
    expect(find(plan.signals, 'press-7/rms').freshMs).toBe(300);
    expect(site.tags.get(find(plan.signals, 'press-7/lockout').index)?.type).toBe('bool');
    expect([...(find(plan.signals, 'press-7/state').states ?? [])]).toEqual([
      [0, 'stopped'],
      [1, 'running'],
    ]);
  });

  it('conditions → names are indices, units are converted', () => {
    const cooling = find(plan.checks, 'press-7/cooling');
    const expression = plan.conditions[cooling.critWhen ?? -1]?.expression;
    const [out, inlet, state] = ['out', 'in', 'state'].map((name) => find(plan.signals, `press-7/${name}`).index);
    expect(expression).toEqual({
      op: 'and',
      args: [
        {
          op: 'compare',
          by: '>',
          left: {
            op: 'arithmetic',
            by: '-',
            left: { op: 'signal', signal: out, factor: 1, offset: -273.15 },
            right: { op: 'signal', signal: inlet, factor: 1, offset: 0 },
          },
          right: { op: 'literal', value: 15 },
        },
        {
          op: 'compare',
          by: '==',
          left: { op: 'state', signal: state },
          right: { op: 'literal', value: 'running' },
        },
      ],
    });
  });

  it('at_least over a type → the crit of each of its things', () => {
    const shaking = plan.conditions[find(plan.checks, 'site/shaking').critWhen ?? -1]?.expression;
    expect(shaking).toEqual({
      op: 'at-least',
      n: 2,
      args: ['press-7/vibration', 'press-8/vibration'].map((id) => ({
        op: 'check',
        is: 'crit',
        check: find(plan.checks, id).index,
      })),
    });
    expect(find(plan.checks, 'site/shaking').runsOn).toEqual({ on: 'every' });
  });

  it('workflow → defaults of doubt: a restart can be probed, a command is fire-once, waiting repairs nothing', () => {
    const { steps, ifFailed, budget } = find(plan.workflows, 'bridge/restart');
    expect(steps.map((step) => [step.action.kind, step.doubt, step.fixing])).toEqual([
      ['process.restart', 'probeable', true],
      ['command.run', 'fire-once', true],
      ['wait', 'idempotent', false],
    ]);
    expect(budget).toEqual({ count: 3, perMs: 86_400_000 });
    const implied = find(plan.alarms, 'bridge/restart-failed');
    expect(ifFailed).toEqual([{ kind: 'alarm', alarm: implied.index }]);
    expect(implied.when).toBeUndefined();
    expect(implied.runsOn).toEqual({ on: 'holder', duty: duty('bridge/run').index });
  });

  it('connections and secrets → references stay references', () => {
    const things = new Map(plan.things.map((thing) => [thing.id, thing.index]));
    expect(site.connections.get(things.get('plc') ?? -1)).toEqual({
      kind: 'opcua',
      endpoint: 'opc.tcp://10.0.0.5:4840',
      security: 'sign',
      user: 'mw',
      secret: { from: 'env', name: 'PLC' },
    });
    expect(site.connections.get(things.get('chiller') ?? -1)).toEqual({
      kind: 'modbus',
      host: '10.3.0.9',
      port: 502,
      unit: 1,
      order: 'cdab',
    });
  });

  it('cells of pace wifi → the calmer membership', () => {
    expect(plan.membership.probeIntervalMs).toBe(500);
  });

  it('every index → is its place in its list, every reference within bounds', () => {
    for (const list of [
      plan.agents,
      plan.things,
      plan.signals,
      plan.checks,
      plan.models,
      plan.conditions,
      plan.duties,
      plan.workflows,
      plan.alarms,
    ]) {
      expect(list.map((one) => one.index)).toEqual(list.map((_, i) => i));
    }
    for (const signal of plan.signals) expect(plan.duties[signal.duty]?.work.kind).toBe('poll');
  });

  it('hash → same text, same hash; comments do not count, a limit does', () => {
    expect(compiled(plant).plan.hash).toBe(plan.hash);
    expect(compiled(`${plant}# a word for the night shift\n`).plan.hash).toBe(plan.hash);
    expect(compiled(plant.replace('below 200 kPa', 'below 201 kPa')).plan.hash).not.toBe(plan.hash);
  });

  it('agents far from a machine → may ask for its checks, not for its signals', () => {
    const far = `${plant}alarms:\n  far:\n    when: state("press-7") == "stopped"\n    priority: low\n    cause: a\n    consequence: b\n    response: c\n    respond-within: 1h\n`;
    expect(parseSite(far, 'x').problems).toEqual([]);
    const agent = plant.replace(
      'box-2: { cell: a,',
      'box-2: { checks: { far: { warn-when: signal("press-7/in in K") > 300 } }, cell: a,',
    );
    expect(parseSite(agent, 'x').problems).toMatchObject([
      { code: 'later', path: 'agents/box-2/checks/far/warn-when' },
    ]);
  });
});

describe('site file: the demo', () => {
  const { site, model, problems } = checkSite(demo);

  it('is good without a warning and has exactly the seven duties', () => {
    expect(problems).toEqual([]);
    expect(site?.plan.duties.map((one) => [one.id, one.work.kind])).toEqual([
      ['pump-skid/poll', 'poll'],
      ['press/poll', 'poll'],
      ['conveyor/poll', 'poll'],
      ['label-service/run', 'process'],
      ['order-service/run', 'process'],
      ['site/line-log', 'upload'],
      ['site/tidy-logs', 'schedule'],
    ]);
    for (const one of site?.plan.duties ?? []) expect(one.eligible.slice(0, 5)).toEqual([0, 1, 2, 3, 4]);
  });

  it('explain → says in words what will happen, types expanded', () => {
    const text = site && model ? explainSite(site, model, 'label-service') : '';
    expect(text).toContain('label-service/restart: when crit("up"). By whoever holds label-service/run.');
    expect(text).toContain('Then ok("up") must hold for 2 s, beginning within 10 s');
    expect(text).toContain('At most 5 per 1 h, at least 5 s apart');
    expect(text).toContain('If it failed: alarm label-service/down.');
    for (const thing of site?.plan.things ?? []) {
      const said = site && model ? explainSite(site, model, thing.id) : undefined;
      expect(said, thing.id).toBeTypeOf('string');
      expect(said, thing.id).not.toMatch(/undefined|NaN|\[object/);
    }
    expect(site && model && explainSite(site, model, 'nothing')).toBeUndefined();
  });

  it('params from outside → replace values, keep comments, refuse unknown names', () => {
    const text = 'millwright: 1 # language\nparams:\n  port: 502 # of the PLC\n';
    expect(setSiteParams(text, { port: '1502' })).toEqual({
      ok: true,
      value: 'millwright: 1 # language\nparams:\n  port: 1502 # of the PLC\n',
    });
    expect(setSiteParams(text, { prot: '1' })).toMatchObject({
      ok: false,
      error: 'the site file has no parameter "prot": it has port',
    });
  });

  it('JSON Schema → for editors, closed and with the required words', () => {
    const schema = siteJsonSchema() as { additionalProperties: boolean; required: string[] };
    expect(schema.additionalProperties).toBe(false);
    expect(schema.required).toEqual(['millwright', 'site', 'agents']);
  });
});

it('derived signals → made of their inputs, where those are read, as often as the slowest', () => {
  const site = compiled(
    plant.replace(
      '      out: { address: $root.Out, unit: K }\n',
      `      out: { address: $root.Out, unit: K, every: 5s }
      rise: { formula: signal("out in °C") - signal("in in °C"), unit: K, over: 5m mean }
      trend: { formula: signal("rise in K"), over: 1h rate per h, every: 10s }
      calm: { address: $root.Calm, over: 10s max }
`,
    ),
  );
  const [press] = site.plan.things.filter(({ id }) => id.startsWith('press'));
  const of = (name: string) => find(site.plan.signals, `${press?.id}/${name}`);
  const [first, out] = [of('in'), of('out')];
  expect(of('rise')).toMatchObject({
    duty: first.duty,
    everyMs: 5_000,
    freshMs: 15_000,
    unit: 'K',
    derived: { over: { ms: 300_000, what: 'mean' }, inputs: [first.index, out.index] },
  });
  expect(of('trend')).toMatchObject({
    everyMs: 10_000,
    derived: { over: { ms: 3_600_000, what: 'rate', perMs: 3_600_000 }, inputs: [of('rise').index] },
  });
  expect(of('calm').derived).toEqual({
    formula: undefined,
    over: { ms: 10_000, what: 'max', perMs: 1_000 },
    inputs: [],
  });
  expect(site.tags.has(of('rise').index)).toBe(false);
  expect(site.tags.has(of('calm').index)).toBe(true);
});

it('made of several machines → one agent reads the others along; a device that it may not read is told', () => {
  const cell = (via: string) => `millwright: 1
site: plant
agents: { box-1: {}, box-2: {} }
assets:
  plc-a: { connect: { opcua: { endpoint: "opc.tcp://10.0.0.5:4840" } }, signals: { flow: { address: s=F }, twice: { formula: signal("flow") * 2 } } }
  plc-b: { ${via} connect: { opcua: { endpoint: "opc.tcp://10.0.0.6:4840" } }, signals: { flow: { address: s=F }, level: { address: s=L } } }
  line:
    source: plc-a
    signals: { leak: { formula: signal("plc-a/twice") - signal("plc-b/flow"), every: 2s } }
    models: { both: { file: both/1, inputs: { a: plc-a/flow, b: plc-b/level } } }
`;
  const site = compiled(cell(''));
  const home = find(site.plan.duties, 'plc-a/poll').index;
  const of = (name: string) => find(site.plan.signals, name).index;
  expect(find(site.plan.signals, 'line/leak')).toMatchObject({ duty: home, everyMs: 2_000 });
  expect(find(site.plan.models, 'line/both').runsOn).toEqual({ on: 'holder', duty: home });
  expect([...(site.alongside ?? [])]).toEqual([
    [home, [of('plc-b/flow'), of('plc-b/level')].toSorted((a, b) => a - b)],
  ]);
  expect(parseSite(cell('via: [box-1],'), 'site.yaml').problems.map(({ message }) => message)).toEqual([
    'line/leak reads from several machines: box-2 may carry plc-a/poll, and may not read plc-b',
    'line/both reads from several machines: box-2 may carry plc-a/poll, and may not read plc-b',
  ]);
});
