import { RE2JS } from 're2js';
import { err, ok, type Result } from '../../base/result.ts';
import type { CheckSpec } from '../../core/health/check.ts';
import type { HostPort, Probe, Secret } from '../../driver/bindings.ts';
import { parseHostPort, parseLimit } from '../grammar.ts';
import type { Path } from '../site-document.ts';
import type { Entry } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { SiteContext } from './context.ts';
import { compilePlcProbe, plcUnit } from './plc-checks.ts';

/**
 * Kinds of probes: the unit of what they measure (without one they judge by themselves), whether limits must be said, and
 * how often they look unless the file says so.
 */
export const probeKinds: Readonly<
  Record<string, { readonly unit?: string; readonly optional?: boolean; readonly everyMs: number }>
> = {
  cpu: { unit: '%', everyMs: 5_000 },
  memory: { unit: '%', everyMs: 10_000 },
  disk: { unit: '%', everyMs: 60_000 },
  inode: { unit: '%', everyMs: 60_000 },
  load: { unit: 'count', everyMs: 10_000 },
  temperature: { unit: '°C', everyMs: 10_000 },
  network: { unit: 'B/s', everyMs: 10_000 },
  clock: { unit: 's', everyMs: 30_000 },
  'file-age': { unit: 's', everyMs: 60_000 },
  process: { everyMs: 1_000 },
  service: { everyMs: 10_000 },
  container: { everyMs: 10_000 },
  tcp: { everyMs: 10_000 },
  tls: { unit: 's', optional: true, everyMs: 3_600_000 },
  ping: { unit: 'ms', optional: true, everyMs: 10_000 },
  dns: { unit: 'ms', optional: true, everyMs: 60_000 },
  http: { everyMs: 10_000 },
  log: { unit: 'count', optional: true, everyMs: 10_000 },
  mqtt: { unit: 's', everyMs: 10_000 },
  sql: { unit: 'count', everyMs: 60_000 },
  plc: { unit: 'count', everyMs: 5_000 },
  plugin: { everyMs: 60_000 },
};

/** What the limits of this very check are in, and whether it needs any. Without a unit it takes none. */
export function limitsOf(
  entry: Entry<'checks'>,
  kind: string,
): { readonly unit: string | undefined; readonly needed: boolean } {
  const { value } = entry;
  const { unit, optional = false } = probeKinds[kind]!;
  if (kind === 'plc') return { unit: plcUnit(entry), needed: true };
  if (kind === 'network') {
    const measure = networkForm.exec(value.network!)?.[2];
    return { unit: measure === 'rate' ? 'B/s' : measure === 'errors' ? 'count' : undefined, needed: true };
  }
  if (kind === 'clock') return { unit: value.clock === 'synchronised' ? undefined : 's', needed: true };
  if (kind === 'plugin' && value.perf !== undefined) return { unit: perfUnit(entry).name, needed: true };
  return { unit, needed: unit !== undefined && !optional };
}

/** What a look costs: a duty's own process is known without looking; programs and databases cost most. */
export function costOf({ value }: Entry<'checks'>, kind: string): CheckSpec['cost'] {
  if (kind === 'process' && typeof value.process === 'string') return 'none';
  const isProgram =
    ['plugin', 'sql', 'service', 'ping'].includes(kind) || (kind === 'clock' && value.clock !== 'jumps');
  return isProgram ? 'program' : undefined;
}

const networkForm = /^\s*(\S+)\s+(link|rate|errors)\s*$/;

/** Performance data is compared in the unit that the limits are in: a time, a size, a share, or a plain number. */
function perfUnit({ value }: Entry<'checks'>): { readonly name: string; readonly perf: 's' | 'B' | '%' | '' } {
  for (const text of [value.crit, value.warn]) {
    const parsed = text === undefined ? undefined : parseLimit(text);
    const dimension = parsed?.ok === true ? parsed.value.quantity.unit?.dimension : undefined;
    if (dimension === 'time') return { name: 's', perf: 's' };
    if (dimension === 'bytes') return { name: 'B', perf: 'B' };
    if (dimension === 'ratio') return { name: '%', perf: '%' };
  }
  return { name: 'count', perf: '' };
}

export const secretOf = (text: string): Secret =>
  text.startsWith('env:') ? { from: 'env', name: text.slice(4) } : { from: 'file', path: text.slice(5) };

/** `host` or `host:port`. */
function parseServer(text: string, port: number): Result<HostPort, string> {
  const bare = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:/[\]]+))$/.exec(text.trim());
  if (bare !== null) return ok({ host: (bare[1] ?? bare[2])!, port });
  const both = parseHostPort(text);
  return both.ok ? both : err(`"${text}" is no server: say a host, or host:port`);
}

/** What a check's probe runs. */
export function compileProbe(site: SiteContext, entry: Entry<'checks'>, kind: string): Probe {
  const { findings, duties, dutyNamed, read } = site;
  const { value, thing } = entry;
  const say = (below: Path, text: string): void => findings.of(entry.origin, below, 'value', text);
  switch (kind) {
    case 'cpu':
    case 'memory':
      return { kind };
    case 'disk':
    case 'inode':
      return { kind, path: value[kind]! };
    case 'load': {
      const minutes = /^(1|5|15)\s*m(?:in)?$/.exec(value.load!)?.[1];
      if (minutes === undefined) say(['load'], `"${value.load}" is no load average: it is one of 1m, 5m, 15m`);
      return { kind, minutes: minutes === '1' ? 1 : minutes === '15' ? 15 : 5 };
    }
    case 'temperature':
      return { kind, sensor: value.temperature === 'any' ? undefined : value.temperature };
    case 'network': {
      const [, name = '', measure = 'link'] = networkForm.exec(value.network!) ?? [];
      if (name === '' && !isPlaceholder(value.network!)) {
        say(['network'], `"${value.network}" says not what: "eth0 link", "eth0 rate" or "eth0 errors"`);
      } else if (/^\.{1,2}$|\//.test(name)) say(['network'], `"${name}" is no interface`);
      return { kind, interface: name, measure: measure as 'link' | 'rate' | 'errors' };
    }
    case 'clock': {
      const { clock } = value;
      if (clock === 'synchronised' || clock === 'jumps') return { kind: `clock-${clock}` };
      const server = typeof clock === 'object' ? clock.offset : undefined;
      const against =
        server === undefined ? undefined : read(entry, ['clock', 'offset'], parseServer(server, 123), undefined);
      return { kind: 'clock-offset', against };
    }
    case 'process': {
      if (typeof value.process !== 'string') return { kind: 'process-name', name: value.process!.name };
      const duty = dutyNamed(value.process, thing);
      if ('missing' in duty) {
        findings.of(entry.origin, ['process'], 'reference', duty.missing, {
          remedy: 'any program on the box: { name: nginx }',
        });
      } else if ('found' in duty && duties[duty.found]!.work.kind !== 'process') {
        findings.of(entry.origin, ['process'], 'reference', `Duty ${value.process} runs no process`);
      }
      return { kind: 'process', duty: 'found' in duty ? duty.found : 0 };
    }
    case 'service': {
      const unit = value.service!;
      if (!isPlaceholder(unit) && !/^[A-Za-z0-9@:_.\\-]{1,255}$/.test(unit)) {
        say(['service'], `"${unit}" is no unit of systemd: say for example nginx.service`);
      }
      return { kind, unit };
    }
    case 'container': {
      const said = value.container!;
      const { name, socket } = typeof said === 'string' ? { name: said, socket: undefined } : said;
      return { kind, name, socket };
    }
    case 'tcp':
      return { kind, ...read(entry, ['tcp'], parseHostPort(value.tcp), { host: '', port: 0 }) };
    case 'tls': {
      const said = typeof value.tls === 'string' ? { address: value.tls } : value.tls!;
      const below: Path = typeof value.tls === 'string' ? ['tls'] : ['tls', 'address'];
      const address = read(entry, below, parseHostPort(said.address), { host: '', port: 0 });
      return { kind, ...address, name: said.name, ca: said.ca, trusted: said.trusted ?? false };
    }
    case 'plc':
      return compilePlcProbe(site, entry);
    case 'ping': {
      const host = value.ping!;
      if (!isPlaceholder(host) && !/^[^\s/-][^\s/]*$/.test(host)) say(['ping'], `"${host}" is no host`);
      return { kind, host };
    }
    case 'dns': {
      const said = typeof value.dns === 'string' ? { name: value.dns } : value.dns!;
      const server =
        said.server === undefined ? undefined : read(entry, ['dns', 'server'], parseServer(said.server, 53), undefined);
      if (server !== undefined && !/^[\d.]+$|:/.test(server.host)) {
        say(['dns', 'server'], `"${server.host}" is a name: a name server is said by its address, 10.0.0.53`);
      }
      return { kind, name: said.name, type: said.type ?? 'A', server, expect: said.expect };
    }
    case 'http': {
      const http =
        typeof value.http === 'string' ? { url: value.http, status: undefined, contains: undefined } : value.http!;
      if (!/^https?:\/\/[^/\s]+/.test(http.url) && !isPlaceholder(http.url)) {
        say(['http'], `"${http.url}" is no http:// or https:// address`);
      }
      return { kind, url: http.url, status: http.status, contains: http.contains };
    }
    case 'file-age':
      return { kind, path: value['file-age']! };
    case 'log': {
      const { file, match, except } = value.log!;
      for (const [key, pattern] of [
        ['match', match],
        ['except', except],
      ] as const) {
        const why = pattern === undefined || isPlaceholder(pattern) ? undefined : patternProblem(pattern);
        if (why !== undefined) say(['log', key], `"${pattern}" is no pattern of RE2: ${why}`);
      }
      return { kind, path: file, match, except };
    }
    case 'mqtt': {
      const { url, topic, user, secret } = value.mqtt!;
      if (!isPlaceholder(url) && !/^mqtts?:\/\/[^/\s]+$/.test(url)) {
        say(['mqtt', 'url'], `"${url}" is no broker: say mqtt://host:1883 or mqtts://host:8883`);
      }
      if (/\/\/[^/]*:[^/]*@/.test(url))
        say(['mqtt', 'url'], 'A password stands in the open here: use `user` and `secret`');
      return { kind, url, topic, user, secret: secret === undefined ? undefined : secretOf(secret) };
    }
    case 'sql':
      return compileSql(entry, say);
    default: {
      const perf = value.perf === undefined ? undefined : { label: value.perf, unit: perfUnit(entry).perf };
      return { kind: 'plugin', argv: value.plugin!.map(String), perf };
    }
  }
}

function compileSql({ value }: Entry<'checks'>, say: (below: Path, text: string) => void): Probe {
  const { sqlite, postgres, user, secret, tls, query } = value.sql!;
  if ((sqlite === undefined) === (postgres === undefined)) {
    say(['sql'], 'A query has one database: sqlite: /path, or postgres: postgres://host:5432/database');
  }
  if (sqlite !== undefined || postgres === undefined) {
    return { kind: 'sql', query, database: { kind: 'sqlite', path: sqlite ?? '' } };
  }
  const match = /^postgres(?:ql)?:\/\/(?:\[([0-9a-fA-F:]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?\/([^\s/?]+)$/.exec(
    postgres,
  );
  if (match === null && !isPlaceholder(postgres)) {
    say(
      ['sql', 'postgres'],
      postgres.includes('@')
        ? 'Who asks stands in `user`, the password in `secret`: postgres://host:5432/database'
        : `"${postgres}" is no database: say postgres://host:5432/database`,
    );
  }
  return {
    kind: 'sql',
    query,
    database: {
      kind: 'postgres',
      host: match?.[1] ?? match?.[2] ?? '',
      port: Number(match?.[3] ?? 5432),
      database: match?.[4] ?? '',
      user,
      secret: secret === undefined ? undefined : secretOf(secret),
      tls: tls ?? false,
    },
  };
}

function patternProblem(pattern: string): string | undefined {
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error);
  }
}
