import type { CheckIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import type { CheckSpec, Limit } from '../../core/health/check.ts';
import type { Probe } from '../../driver/bindings.ts';
import { parseDeadband, parseHostPort, parseLimit } from '../grammar.ts';
import { convert, unitOf } from '../quantity.ts';
import type { Entry } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { CheckShape } from '../site-schema.ts';
import type { SiteContext } from './context.ts';

/** Kinds of checks: what they compare with, when they compare, and how often unless the file says so. */
const probeKinds: Readonly<Record<string, { readonly unit?: string; readonly everyMs: number }>> = {
  cpu: { unit: '%', everyMs: 5_000 },
  memory: { unit: '%', everyMs: 10_000 },
  disk: { unit: '%', everyMs: 60_000 },
  load: { unit: 'count', everyMs: 10_000 },
  temperature: { unit: '°C', everyMs: 10_000 },
  'file-age': { unit: 's', everyMs: 60_000 },
  process: { everyMs: 1_000 },
  tcp: { everyMs: 10_000 },
  http: { everyMs: 10_000 },
  plugin: { everyMs: 60_000 },
};
const signalKinds = ['signal', 'stale', 'quality'] as const;

/** Checks: what they look at, what they compare with, where they run. */
export function compileChecks(site: SiteContext): void {
  const {
    findings,
    duties,
    signals,
    checks,
    entriesOf,
    at,
    lookup,
    dutyNamed,
    addCondition,
    read,
    duration,
    dwell,
    onlyIn,
    home,
    seen,
  } = site;
  const entries = entriesOf('checks');
  for (const [index, entry] of entries.entries()) checks.push(compileCheck(entry, index));
  for (const check of checks)
    for (const when of [check.warnWhen, check.critWhen]) seen(when, check.runsOn, entries[check.index]!);

  function compileCheck(entry: Entry<'checks'>, index: CheckIndex): CheckSpec {
    const { value, thing } = entry;
    const kinds = [...signalKinds, ...Object.keys(probeKinds)].filter(
      (kind) => value[kind as keyof CheckShape] !== undefined,
    );
    const whens = (['warn-when', 'crit-when'] as const).filter((key) => value[key] !== undefined);
    const broken = thing.broken.has(`checks/${entry.name}`);
    if (kinds.length + (whens.length > 0 ? 1 : 0) !== 1 && !(broken && kinds.length === 0)) {
      findings.of(
        entry.origin,
        [],
        'missing',
        kinds.length === 0
          ? `Check ${entry.name} looks at nothing: say signal, disk, process, http, … or crit-when`
          : `Check ${entry.name} looks at ${[...kinds, ...whens].join(' and ')}: one check, one thing`,
        { at: 'key' },
      );
    }
    const kind = kinds[0];
    const limits = { warn: undefined as Limit | undefined, crit: undefined as Limit | undefined };
    let source: CheckSpec['source'] = { kind: 'condition' };
    let runsOn = home(thing);
    let everyMs = 1_000;

    if (kind === 'signal' || kind === 'stale' || kind === 'quality') {
      const found = lookup('signals', value[kind]!, thing);
      if ('missing' in found) findings.of(entry.origin, [kind], 'reference', found.missing);
      const signal = 'found' in found ? signals[at('signals', found.found)] : undefined;
      source = {
        kind: 'signal',
        signal: signal?.index ?? 0,
        judge: kind === 'signal' ? 'value' : kind === 'stale' ? 'staleness' : 'quality',
      };
      everyMs = signal?.everyMs ?? 1_000;
      if (signal !== undefined) runsOn = { on: 'holder', duty: signal.duty };
      if (kind === 'signal') {
        if (signal !== undefined || !('found' in found)) {
          for (const key of ['warn', 'crit'] as const) {
            limits[key] = limit(
              entry,
              key,
              signal === undefined ? undefined : { name: value[kind]!, unit: signal.unit },
            );
          }
        }
        needsLimit(entry);
      } else refuseLimits(entry, kind);
    } else if (kind !== undefined) {
      const { unit, everyMs: usual } = probeKinds[kind]!;
      everyMs = usual;
      source = { kind: 'probe', probe: probeOf(entry, kind) };
      if (kind === 'process' && typeof value.process === 'string') {
        const duty = dutyNamed(value.process, thing);
        if ('found' in duty) runsOn = { on: 'holder', duty: duty.found };
      }
      if (unit === undefined) refuseLimits(entry, kind);
      else {
        for (const key of ['warn', 'crit'] as const) limits[key] = limit(entry, key, { name: kind, unit });
        needsLimit(entry);
      }
    } else if (!broken) refuseLimits(entry, 'with conditions');
    if (limits.warn !== undefined && limits.crit !== undefined && limits.warn.side === limits.crit.side) {
      const beyond =
        limits.warn.side === 'above' ? limits.warn.value > limits.crit.value : limits.warn.value < limits.crit.value;
      if (beyond)
        findings.of(
          entry.origin,
          ['warn'],
          'value',
          `warn (${value.warn}) lies beyond crit (${value.crit}): it would never be seen`,
        );
    }
    everyMs = duration(entry, 'every', value.every, everyMs, 50);
    return {
      index,
      id: entryId(entry.id),
      thing: thing.index,
      runsOn,
      everyMs,
      timeoutMs: duration(entry, 'timeout', value.timeout, Math.min(10_000, Math.max(1_000, everyMs)), 10),
      source,
      warn: limits.warn,
      crit: limits.crit,
      warnWhen:
        value['warn-when'] === undefined ? undefined : addCondition(entry, ['warn-when'], value['warn-when'], 'check'),
      critWhen:
        value['crit-when'] === undefined ? undefined : addCondition(entry, ['crit-when'], value['crit-when'], 'check'),
      deadband: value.deadband === undefined ? 0 : read(entry, ['deadband'], parseDeadband(value.deadband), 0),
      raise: dwell(entry, 'raise', value.raise),
      clear: dwell(entry, 'clear', value.clear),
      onlyIn: onlyIn(entry, value['only-in']),
      graceMs: duration(entry, 'grace', value.grace, kind === 'process' ? 1_000 : 0),
    };
  }

  function needsLimit(entry: Entry<'checks'>): void {
    if (
      entry.value.warn === undefined &&
      entry.value.crit === undefined &&
      !entry.thing.broken.has(`checks/${entry.name}`)
    ) {
      findings.of(entry.origin, [], 'missing', `Check ${entry.name} has neither warn nor crit: it could only be ok`, {
        at: 'key',
      });
    }
  }

  function refuseLimits(entry: Entry<'checks'>, kind: string): void {
    for (const key of ['warn', 'crit'] as const) {
      if (entry.value[key] !== undefined) {
        findings.of(entry.origin, [key], 'value', `The check ${kind} judges by itself: take \`${key}\` out`, {
          at: 'key',
        });
      }
    }
  }

  function limit(
    entry: Entry<'checks'>,
    key: 'warn' | 'crit',
    of: { name: string; unit: string | undefined } | undefined,
  ): Limit | undefined {
    const text = entry.value[key];
    if (text === undefined || isPlaceholder(text)) return undefined;
    const parsed = parseLimit(text);
    if (!parsed.ok) {
      findings.of(entry.origin, [key], 'value', parsed.error.charAt(0).toUpperCase() + parsed.error.slice(1));
      return undefined;
    }
    if (of === undefined) return undefined;
    const { side, quantity } = parsed.value;
    const unit = of.unit === undefined ? undefined : unitOf(of.unit);
    if (quantity.unit === undefined) {
      if (unit === undefined || unit.name === 'count') return { side, value: quantity.value };
      findings.of(entry.origin, [key], 'unit', `${quantity.value} has no unit: ${of.name} is in ${unit.name}`);
      return undefined;
    }
    const value = unit === undefined ? undefined : convert(quantity.value, quantity.unit, unit);
    if (value === undefined) {
      const what = of.name in probeKinds ? of.name : 'signal';
      findings.of(
        entry.origin,
        [key],
        'dimension',
        unit === undefined
          ? `Limit in ${quantity.unit.name}, ${of.name} without a unit: these cannot be compared`
          : `Limit in ${quantity.unit.name}, ${what} in ${unit.name}: these cannot be compared`,
      );
      return undefined;
    }
    return { side, value };
  }

  function probeOf(entry: Entry<'checks'>, kind: string): Probe {
    const { value, thing } = entry;
    switch (kind) {
      case 'cpu':
      case 'memory':
        return { kind };
      case 'disk':
        return { kind, path: value.disk! };
      case 'load': {
        const minutes = /^(1|5|15)\s*m(?:in)?$/.exec(value.load!)?.[1];
        if (minutes === undefined)
          findings.of(entry.origin, ['load'], 'value', `"${value.load}" is no load average: it is one of 1m, 5m, 15m`);
        return { kind, minutes: minutes === '1' ? 1 : minutes === '15' ? 15 : 5 };
      }
      case 'temperature':
        return { kind, sensor: value.temperature === 'any' ? undefined : value.temperature };
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
      case 'tcp': {
        const address = read(entry, ['tcp'], parseHostPort(value.tcp), { host: '', port: 0 });
        return { kind, ...address };
      }
      case 'http': {
        const http =
          typeof value.http === 'string' ? { url: value.http, status: undefined, contains: undefined } : value.http!;
        if (!/^https?:\/\/[^/\s]+/.test(http.url) && !isPlaceholder(http.url)) {
          findings.of(entry.origin, ['http'], 'value', `"${http.url}" is no http:// or https:// address`);
        }
        return { kind, url: http.url, status: http.status, contains: http.contains };
      }
      case 'file-age':
        return { kind, path: value['file-age']! };
      default:
        return { kind: 'plugin', argv: value.plugin!.map(String) };
    }
  }
}
