import type { CheckIndex } from '../../base/ids.ts';
import { entryId } from '../../base/ids.ts';
import type { CheckSpec, Limit } from '../../core/health/check.ts';
import { parseDeadband, parseLimit } from '../grammar.ts';
import { convert, unitOf } from '../quantity.ts';
import type { Entry } from '../site-model.ts';
import { isPlaceholder } from '../site-model.ts';
import type { CheckShape } from '../site-schema.ts';
import type { SiteContext } from './context.ts';
import { needsOfCheck } from './needs.ts';
import { plcEveryMs, plcPlace } from './plc-checks.ts';
import { compileProbe, costOf, limitsOf, probeKinds } from './probes.ts';

const signalKinds = ['signal', 'stale', 'quality'] as const;

/** Checks: what they look at, what they compare with, where they run. */
export function compileChecks(site: SiteContext): void {
  const {
    findings,
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
      everyMs = kind === 'plc' ? plcEveryMs(entry) : probeKinds[kind]!.everyMs;
      source = { kind: 'probe', probe: compileProbe(site, entry, kind) };
      const { unit, needed } = limitsOf(entry, kind);
      if (kind === 'process' && typeof value.process === 'string') {
        const duty = dutyNamed(value.process, thing);
        if ('found' in duty) runsOn = { on: 'holder', duty: duty.found };
      }
      if (kind === 'plc') runsOn = plcPlace(site, entry) ?? runsOn;
      if (unit === undefined) refuseLimits(entry, kind);
      else {
        for (const key of ['warn', 'crit'] as const) limits[key] = limit(entry, key, { name: kind, unit });
        if (needed) needsLimit(entry);
        // Any line that matches, unless limits say how many.
        else if (kind === 'log' && value.warn === undefined && value.crit === undefined) {
          limits.crit = { side: 'above', value: 0 };
        }
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
    if (value.perf !== undefined && value.plugin === undefined) {
      findings.of(entry.origin, ['perf'], 'value', '`perf` belongs to a plugin', { at: 'key' });
    }
    const needs = needsOfCheck(site, entry);
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
      cost: kind === undefined ? undefined : costOf(entry, kind),
      needs: needs.length === 0 ? undefined : needs,
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
}
