import type { OnlyIn } from '../../base/location.ts';
import type { Result } from '../../base/result.ts';
import type { Dwell } from '../../core/health/check.ts';
import { parseDwell } from '../grammar.ts';
import { formatDuration, parseDuration } from '../quantity.ts';
import type { Path } from '../site-document.ts';
import type { Entry } from '../site-model.ts';
import type { OnlyInShape } from '../site-schema.ts';
import type { SiteFacts } from './context.ts';
import type { Names } from './names.ts';

const once: Dwell = { kind: 'count', n: 1 };

export type Readers = ReturnType<typeof createReaders>;

/** Small texts of an entry as values; what cannot be read is told, and a stand-in goes on. */
export function createReaders(facts: SiteFacts, { stateSignal }: Names) {
  const { findings } = facts;
  return { read, duration, milliseconds, dwell, onlyIn };

  function read<T>(
    entry: Entry,
    below: Path,
    parsed: Result<T, string>,
    fallback: T,
    code: 'value' | 'unit' = 'value',
  ): T {
    if (parsed.ok) return parsed.value;
    const text = parsed.error;
    findings.of(entry.origin, below, code, text.charAt(0).toUpperCase() + text.slice(1));
    return fallback;
  }

  function duration(entry: Entry, key: string, value: unknown, fallback: number, least = 0): number {
    if (value === undefined) return fallback;
    const ms = read(entry, [key], parseDuration(value), fallback);
    if (ms >= least) return ms;
    findings.of(entry.origin, [key], 'value', `"${value}" is too short: ${formatDuration(least)} at least`);
    return least;
  }

  /** A time; undefined when it is none, which the caller tells in its own words. */
  function milliseconds(value: unknown): number | undefined {
    const ms = parseDuration(value);
    return ms.ok ? ms.value : undefined;
  }

  function dwell(entry: Entry, key: string, value: unknown): Dwell {
    return value === undefined ? once : read(entry, [key], parseDwell(value), once);
  }

  function onlyIn(entry: Entry, value: OnlyInShape | undefined): OnlyIn[] {
    if (value === undefined) return [];
    const wanted: [string | undefined, readonly string[], Path][] = Array.isArray(value)
      ? [[undefined, value, ['only-in']]]
      : Object.entries(value).map(([thing, states]) => [thing, states, ['only-in', thing]]);
    const result: OnlyIn[] = [];
    for (const [thing, states, below] of wanted) {
      const found = stateSignal(thing, entry.thing);
      if ('missing' in found) findings.of(entry.origin, below, 'reference', found.missing, { at: 'key' });
      if (!('found' in found)) continue;
      const known = found.found.states ?? [];
      for (const [i, state] of states.entries()) {
        if (!known.includes(state)) {
          findings.of(
            entry.origin,
            [...below, i],
            'state',
            `State of ${thing ?? entry.thing.name} is never "${state}": it is one of ${known.join(', ')}`,
          );
        }
      }
      result.push({ state: found.found.index, states });
    }
    return result;
  }
}
