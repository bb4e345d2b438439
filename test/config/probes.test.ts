import { expect, it } from 'vitest';
import { explainSite } from '../../agent/config/explain.ts';
import { formatProblems } from '../../agent/config/problem.ts';
import { parseSite } from '../../agent/config/site-file.ts';

const { site, model, problems } = parseSite(
  `millwright: 1
site: plant
agents: { box-1: {} }
checks:
  nic: { network: eth0 link }
  traffic: { network: eth0 rate, warn: above 400 Mbit/s }
  frames: { network: eth0 errors, warn: above 10 }
  step: { clock: synchronised }
  ahead: { clock: { offset: "10.0.0.1" }, crit: above 500ms }
  set: { clock: jumps, warn: above 2 s }
  unit: { service: nginx.service }
  web: { container: { name: web, socket: /run/engine.sock } }
  cert: { tls: "[fd00::7]:443", warn: below 30 d, crit: below 7 d }
  trust: { tls: { address: "plc.test:4843", name: plc, trusted: true } }
  name: { dns: { name: plc.test, server: 10.0.0.53, expect: 10.0.0.7 }, warn: above 0.2 s }
  echo: { ping: plc.test, crit: above 50 ms }
  lines: { log: { file: /var/log/app.log, match: "(?i)error", except: known } }
  many: { log: { file: /var/log/app.log, match: slow }, warn: above 5 }
  topic: { mqtt: { url: "mqtts://broker:8883", topic: a/+/b, user: me, secret: "env:PW" }, crit: above 1 min }
  rows: { sql: { postgres: "postgres://db/plant", user: eye, secret: "file:/etc/pw", query: select 1 }, crit: above 5 }
  load: { plugin: [/usr/lib/check_load], perf: load1, warn: above 4, crit: above 8 }
  size: { plugin: [/usr/lib/check_size], perf: size, crit: above 2 MB }
`,
  'site.yaml',
);
if (site === undefined || model === undefined) throw new Error(formatProblems(problems));
const of = (name: string) => site.plan.checks.find((check) => check.id === `site/${name}`);

it.each([
  ['nic', { kind: 'network', interface: 'eth0', measure: 'link' }],
  ['ahead', { kind: 'clock-offset', against: { host: '10.0.0.1', port: 123 } }],
  ['step', { kind: 'clock-synchronised' }],
  ['unit', { kind: 'service', unit: 'nginx.service' }],
  ['web', { kind: 'container', name: 'web', socket: '/run/engine.sock' }],
  ['cert', { kind: 'tls', host: 'fd00::7', port: 443, name: undefined, ca: undefined, trusted: false }],
  ['name', { kind: 'dns', name: 'plc.test', type: 'A', server: { host: '10.0.0.53', port: 53 }, expect: '10.0.0.7' }],
  ['lines', { kind: 'log', path: '/var/log/app.log', match: '(?i)error', except: 'known' }],
  [
    'topic',
    { kind: 'mqtt', url: 'mqtts://broker:8883', topic: 'a/+/b', user: 'me', secret: { from: 'env', name: 'PW' } },
  ],
  ['size', { kind: 'plugin', argv: ['/usr/lib/check_size'], perf: { label: 'size', unit: 'B' } }],
])('check %s → what it runs', (name, probe) => {
  expect(of(name)?.source).toEqual({ kind: 'probe', probe });
});

it.each([
  ['traffic', { side: 'above', value: 50_000_000 }, undefined],
  ['frames', { side: 'above', value: 10 }, undefined],
  ['ahead', undefined, { side: 'above', value: 0.5 }],
  ['cert', { side: 'below', value: 2_592_000 }, { side: 'below', value: 604_800 }],
  ['name', { side: 'above', value: 200 }, undefined],
  ['lines', undefined, { side: 'above', value: 0 }],
  ['many', { side: 'above', value: 5 }, undefined],
  ['topic', undefined, { side: 'above', value: 60 }],
  ['size', undefined, { side: 'above', value: 2_000_000 }],
  ['load', { side: 'above', value: 4 }, { side: 'above', value: 8 }],
])('check %s → its limits in the unit of what it measures', (name, warn, crit) => {
  expect(of(name)).toMatchObject({ warn, crit });
});

it('explained → every check in words, its limits with their unit', () => {
  const text = explainSite(site, model, 'site') ?? '';
  for (const line of [
    'CRIT when the link of eth0 fails, after one reading',
    'WARN when the traffic of eth0 is above 50000000 B/s',
    "CRIT when the clock's offset against 10.0.0.1 is above 0.5 s",
    'WARN when the certificate at fd00::7:443 is below 2592000 s',
    'CRIT when the number of new lines in /var/log/app.log like (?i)error but not like known is above 0',
    'WARN when the plugin /usr/lib/check_load (or its load1) is above 4',
  ])
    expect(text).toContain(line);
});
