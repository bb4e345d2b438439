import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckObservation } from '../../core/health/check.ts';
import { judged, measured, notKnown, type ProbeContext, rounded } from './probe.ts';

/** What is asked of a network interface. */
export type NetworkMeasure = 'link' | 'rate' | 'errors';

interface Counters {
  readonly at: number;
  readonly received: number;
  readonly sent: number;
  readonly errors: number;
}

const errorCounters = ['rx_errors', 'tx_errors', 'rx_dropped', 'tx_dropped'] as const;
/** Over less time than this a rate is mostly chance: what was seen before still stands. */
const leastMs = 100;

/**
 * A network interface, by the kernel's own counters in `/sys/class/net`:
 *
 * - `link`: good while there is a carrier. A cable that is out is bad; an interface that does not exist is bad too.
 * - `rate`: bytes per second since this check's last look, the larger of received and sent; the first look takes a
 *   quarter of a second.
 * - `errors`: frames that were broken or dropped since the last look, both directions; 0 at the first.
 *
 * A counter that fell (driver reloaded, interface made anew) starts from there: nothing is made up.
 */
export function createNetworkProbe(
  name: string,
  measure: NetworkMeasure,
): (context: ProbeContext) => Promise<CheckObservation> {
  let last: Counters | undefined;
  let lastRate: CheckObservation | undefined;
  return async (context) => {
    const folder = `${context.roots.sys}/class/net/${name}`;
    const state = await line(`${folder}/operstate`);
    if (state === undefined) {
      const there = await interfaces(context.roots.sys);
      if (there === undefined) return notKnown('network: the kernel shows no interfaces');
      return judged('crit', `there is no interface ${name}; there are ${there.slice(0, 12).join(', ')}`);
    }
    if (measure === 'link') return link(folder, name, state);

    if (last === undefined) {
      const first = await read(folder);
      if (first === undefined) return notKnown(`${name}: its counters cannot be read`);
      last = first;
      if (measure === 'rate') {
        await sleep(Math.min(250, context.timeoutMs / 2), undefined, { signal: context.signal });
      }
    }
    const now = await read(folder);
    if (now === undefined) return notKnown(`${name}: its counters cannot be read`);
    const since = last;
    if (measure === 'errors') {
      last = now;
      const count = rise(since.errors, now.errors);
      const text = `${name}: ${count} broken or dropped frames since the last look`;
      return measured(count, '', 'errors', text);
    }
    const elapsedMs = now.at - since.at;
    if (elapsedMs < leastMs && lastRate !== undefined) return lastRate;
    last = now;
    const perSecond = (from: number, to: number) => (rise(from, to) * 1_000) / Math.max(1, elapsedMs);
    const received = perSecond(since.received, now.received);
    const sent = perSecond(since.sent, now.sent);
    const value = Math.round(Math.max(received, sent));
    const text = `${name} receives ${bytes(received)}/s, sends ${bytes(sent)}/s`;
    lastRate = measured(value, 'B/s', 'rate', text);
    return lastRate;
  };
}

async function link(folder: string, name: string, state: string): Promise<CheckObservation> {
  // Reading `carrier` of an interface that is switched off is an error in itself.
  const carrier = await line(`${folder}/carrier`);
  if (carrier === '1') {
    const speed = Number(await line(`${folder}/speed`));
    return judged('ok', `${name} has a link${speed > 0 ? `, ${speed} Mbit/s` : ''}`);
  }
  return judged(
    'crit',
    carrier === '0' ? `${name} has no link: no cable, or nobody at its other end` : `${name} is ${state}`,
  );
}

async function read(folder: string): Promise<Counters | undefined> {
  const of = async (counter: string) => Number((await line(`${folder}/statistics/${counter}`)) ?? Number.NaN);
  const [received = Number.NaN, sent = Number.NaN, ...errors] = await Promise.all([
    of('rx_bytes'),
    of('tx_bytes'),
    ...errorCounters.map(of),
  ]);
  const sum = errors.reduce((all, one) => all + one, 0);
  if (!Number.isFinite(received + sent + sum)) return undefined;
  return { at: performance.now(), received, sent, errors: sum };
}

const rise = (from: number, to: number): number => (to >= from ? to - from : to);

async function interfaces(sys: string): Promise<readonly string[] | undefined> {
  try {
    return (await readdir(`${sys}/class/net`)).sort();
  } catch {
    return undefined;
  }
}

const line = async (path: string): Promise<string | undefined> => {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch {
    return undefined;
  }
};

function bytes(value: number): string {
  if (value < 1_000) return `${Math.round(value)} B`;
  return value < 1_000_000 ? `${rounded(value / 1_000)} kB` : `${rounded(value / 1_000_000)} MB`;
}
