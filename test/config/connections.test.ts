import { describe, expect, test } from 'vitest';
import { explainSite } from '../../agent/config/explain.ts';
import { formatProblem, formatProblems } from '../../agent/config/problem.ts';
import { parseSite } from '../../agent/config/site-file.ts';
import type { Site } from '../../agent/driver/bindings.ts';

const site = (assets: string): string => `millwright: 1\nsite: plant\nagents: { box-1: {} }\nassets:\n${assets}`;

function compiled(assets: string): Site {
  const { site: found, problems } = parseSite(site(assets), 'site.yaml');
  if (found === undefined) throw new Error(formatProblems(problems));
  return found;
}

/** What is said of a site, without file and line. */
const said = (assets: string): string[] =>
  parseSite(site(assets), 'site.yaml').problems.map((problem) => formatProblem(problem).replace(/^\S+ /, ''));

describe('connections', () => {
  test('every protocol → its connection, with the defaults that are written down', () => {
    const { connections } = compiled(`
  a: { connect: { s7: { host: 10.0.0.1, slot: 1, pause: 20ms } } }
  b: { connect: { modbus: { serial: { path: /dev/ttyUSB0 }, unit: 3 } } }
  c: { connect: { modbus: { serial: { path: /dev/ttyUSB0, baud: 9600, parity: none } } } }
  d: { connect: { mqtt: { url: "mqtts://broker:8883", user: box, secret: "env:BROKER", ca: /etc/ca.pem } } }
  e: { connect: { opcua: { endpoint: "opc.tcp://plc:4840", security: sign, policy: aes256-sha256-rsapss } } }
`);
    const [, s7, line, old, mqtt, opcua] = [undefined, ...connections.values()];
    expect(s7).toEqual({ kind: 's7', host: '10.0.0.1', port: 102, rack: 0, slot: 1, pauseMs: 20 });
    expect(line).toMatchObject({
      unit: 3,
      serial: { path: '/dev/ttyUSB0', baud: 19_200, parity: 'even', stopBits: 1 },
    });
    expect(old).toMatchObject({ unit: 1, serial: { baud: 9_600, parity: 'none', stopBits: 2 } });
    expect(mqtt).toMatchObject({
      kind: 'mqtt',
      user: 'box',
      secret: { from: 'env', name: 'BROKER' },
      ca: '/etc/ca.pem',
    });
    expect(opcua).toMatchObject({ security: 'sign', policy: 'aes256-sha256-rsapss' });
  });

  test('mistakes → each at its place, with what to say instead', () => {
    expect(
      said(`
  a: { connect: { s7: { host: 10.0.0.1 }, modbus: { host: 10.0.0.2 } } }
  b: { connect: { modbus: { host: 10.0.0.2, serial: { path: /dev/ttyUSB0 } } } }
  c: { connect: { s7: { host: 10.0.0.1, slot: 99, pause: 1h } } }
  d: { connect: { mqtt: { url: "http://broker" } } }
  e: { connect: { opcua: { endpoint: "opc.tcp://plc", policy: basic256sha256 } } }
  f:
    connect: { s7: { host: 10.0.0.1 } }
    signals: { x: { address: "DB1,STRING4" }, r: { address: "DB1,REAL4", type: int16 } }
    writes: { z: { address: "DB1,INT2", type: int16, allow: [1] } }
  g:
    connect: { modbus: { serial: { path: /dev/ttyUSB0 } } }
    writes: { z: { address: "holding:40001", type: int16, allow: [1] } }
`),
    ).toEqual([
      'assets/a/connect: a needs one connection: opcua, modbus, s7 or mqtt',
      'assets/b/connect/modbus: Modbus goes over `host` (and `port`) or over `serial`: say one of them',
      'assets/c/connect/s7/slot: 99 is no slot: a whole number to 31',
      'assets/c/connect/s7/pause: "1h" is no pause: a time up to 10s, such as 20ms',
      'assets/d/connect/mqtt/url: "http://broker" is no broker: say mqtt://host:1883',
      'assets/e/connect/opcua/policy: A policy needs `security: sign` or `sign-and-encrypt`',
      expect.stringMatching(/^assets\/f\/signals\/x\/address: "DB1,STRING4" is no S7 address: STRING is none of X, /),
      'assets/f/signals/r/type: DB1,REAL4 is of type float32, not int16',
      'assets/f/writes/z: Writing over S7 comes later: take z out for now',
      'assets/g/writes/z: Writing over a serial line comes later: take z out for now',
    ]);
  });
});

describe('signals', () => {
  test('types from the address, deadband in the unit or as a share of the range, frozen', () => {
    const { tags } = compiled(`
  a:
    connect: { s7: { host: 10.0.0.1 } }
    signals:
      bit: { address: M0.1 }
      real: { address: "DB1,REAL4", unit: bar, change: 50 mbar, frozen: 10m }
      card: { address: IW4, scale: 0..27648 -> 0..10 bar, change: 0.5 % }
      wet: { address: IW6, unit: "%", change: 2 % }
      hot: { address: IW8, unit: °C, change: 1 K }
`);
    const [bit, real, card, wet, hot] = [...tags.values()];
    expect(bit).toMatchObject({ type: 'bool' });
    expect(real).toMatchObject({ type: 'float32', change: { by: 'value', value: 0.05 }, frozenMs: 600_000 });
    expect(card).toMatchObject({ type: 'uint16', change: { by: 'share', share: 0.005 } });
    expect(wet).toMatchObject({ change: { by: 'value', value: 2 } });
    expect(hot).toMatchObject({ change: { by: 'value', value: 1 } });
  });

  test('deadbands that cannot be → told why', () => {
    expect(
      said(`
  a:
    connect: { modbus: { host: 10.0.0.1 } }
    signals:
      a: { address: "holding:40001", unit: bar, change: 1 % }
      b: { address: "holding:40001", unit: bar, change: 1 °C }
      c: { address: "holding:40001", unit: bar, change: 1 }
      d: { address: "holding:40001", unit: bar, change: 0 bar }
`),
    ).toEqual([
      'assets/a/signals/a/change: "1 %" of which range? Give the signal a `scale`, or say it in bar',
      'assets/a/signals/b/change: A deadband in °C, b in bar: these cannot be compared',
      'assets/a/signals/c/change: 1 has no unit: c is in bar',
      'assets/a/signals/d/change: "0 bar" is no deadband: say more than 0',
    ]);
  });
});

describe('checks of controllers', () => {
  test('mode, scan and program → asked over the polling connection, and explained', () => {
    const { plan } = compiled(`
  plc: { connect: { s7: { host: 10.0.0.1 } } }
  press:
    source: plc
    signals: { x: { address: MW0 } }
    checks:
      runs: { plc: mode }
      quick: { plc: scan, warn: above 50 ms }
      same: { plc: { program: 3F9A12C4 } }
`);
    const duty = plan.duties.findIndex(({ id }) => id === 'plc/poll');
    expect(plan.checks.map(({ runsOn }) => runsOn)).toEqual(plan.checks.map(() => ({ on: 'holder', duty })));
    const source = plan.things.findIndex(({ id }) => id === 'plc');
    expect(plan.checks.map((check) => (check.source.kind === 'probe' ? check.source.probe : undefined))).toEqual([
      { kind: 'plc', source, question: 'mode', expect: undefined },
      { kind: 'plc', source, question: 'scan', expect: undefined },
      { kind: 'plc', source, question: 'program', expect: '3f9a12c4' },
    ]);
    expect(plan.checks.map(({ everyMs }) => everyMs)).toEqual([5_000, 5_000, 600_000]);
    const explained = parseSite(
      site('  plc: { connect: { s7: { host: 10.0.0.1 } }, checks: { runs: { plc: mode } } }'),
      'site.yaml',
    );
    const text = explained.site && explained.model && explainSite(explained.site, explained.model, 'plc');
    expect(text).toContain('the controller plc (RUN is ok, STOP is CRIT, else WARN)');
  });

  test('what a protocol has no word for, and a hash that is none → told', () => {
    expect(
      said(`
  a: { connect: { modbus: { host: 10.0.0.1 } }, checks: { runs: { plc: mode } } }
  b: { connect: { opcua: { endpoint: "opc.tcp://b:4840" } }, checks: { quick: { plc: scan, warn: above 50 ms } } }
  c: { connect: { s7: { host: 10.0.0.1 } }, checks: { same: { plc: { program: latest } }, slow: { plc: scan } } }
`),
    ).toEqual([
      'assets/a/checks/runs/plc: Modbus tells no mode: if this controller has a variable for it, make that a signal',
      'assets/b/checks/quick/plc: OPC UA tells no scan time, but mode, service: if this controller has a variable for it, make that a signal',
      'assets/c/checks/same/plc/program: "latest" is no hash: 8 to 64 hex digits, as `millwright plc read --facts` shows them',
      'assets/c/checks/slow: Check slow has neither warn nor crit: it could only be ok',
    ]);
  });
});

describe('interlocks', () => {
  const plant = (guard: string) => `
  plc:
    connect: { modbus: { host: 10.0.0.1, clients: 1 } }
    checks: { up: { tcp: "10.0.0.1:502" } }
    writes: { target: { address: "holding:40011", type: uint16, allow: [40..60], only-if: ${guard} } }
    workflows:
      set:
        when: crit("up")
        budget: 3 per 1d
        verify: ok("up")
        steps: [{ plc.write: { target: 45 } }]
`;

  test('`only-if` of a write → goes with every step that writes it, and is explained', () => {
    const { site: found, model, problems } = parseSite(site(plant('ok("up")')), 'site.yaml');
    if (found === undefined) throw new Error(formatProblems(problems));
    const action = found.plan.workflows[0]?.steps[0]?.action;
    const onlyIf = action?.kind === 'plc.write' ? action.onlyIf : undefined;
    expect(found.plan.conditions[onlyIf ?? -1]).toMatchObject({ id: 'plc/target only-if', source: 'ok("up")' });
    expect(model && explainSite(found, model, 'plc')).toContain('writes 45 to plc/target, only if ok("up")');
  });

  test('one that names what is not there → told at its place', () => {
    expect(said(plant('ok("upp")'))).toEqual([
      expect.stringMatching(/^assets\/plc\/writes\/target\/only-if: plc has no check "upp"/),
    ]);
  });
});
