import type { Effect } from './effect.ts';

/** One program's time with one token, from its first effect to its last. */
export interface Tenure {
  readonly duty: string;
  readonly agent: string;
  readonly session: string;
  readonly token: string;
  readonly life: number;
  readonly from: number;
  to: number;
  effects: number;
}

export interface Violation {
  readonly invariant: 'one at a time' | 'tokens never go back' | 'a token belongs to one session';
  readonly duty: string;
  /** When, by the kernel's monotonic clock. */
  readonly at: number;
  readonly text: string;
}

/**
 * Judges what the effect logs of all boxes say together. Everything is by the programs' own instants of one clock, so no
 * verdict rests on when this process got to look.
 */
export function judge(effects: readonly Effect[]): { tenures: Tenure[]; violations: Violation[] } {
  const violations: Violation[] = [];
  const tenures: Tenure[] = [];
  const sorted = effects.toSorted((a, b) => a.at - b.at);
  const open = new Map<string, Tenure>();
  const newest = new Map<string, Effect>();
  const owner = new Map<string, string>();
  for (const effect of sorted) {
    const { at, duty, agent, session, token, life } = effect;
    const key = `${duty} ${session} ${token} ${life}`;
    const known = open.get(key);
    if (known === undefined) {
      const tenure = { duty, agent, session, token, life, from: at, to: at, effects: 1 };
      open.set(key, tenure);
      tenures.push(tenure);
      // Only first effects are looked at here: a tenure that goes back to an old token shows once, not a hundred times.
      const before = newest.get(duty);
      if (before !== undefined && token < before.token) {
        const text = `${agent} with ${token} after ${before.agent} with ${before.token}`;
        violations.push({ invariant: 'tokens never go back', duty, at, text });
      }
      const held = owner.get(`${duty} ${token}`);
      if (held !== undefined && held !== session) {
        const text = `${token} belongs to session ${held.slice(0, 8)} and to ${session.slice(0, 8)} of ${agent}`;
        violations.push({ invariant: 'a token belongs to one session', duty, at, text });
      }
      owner.set(`${duty} ${token}`, held ?? session);
    } else {
      known.to = at;
      known.effects++;
    }
    if ((newest.get(duty)?.token ?? '') <= token) newest.set(duty, effect);
  }
  for (const tenure of tenures) {
    for (const other of tenures) {
      if (other.duty !== tenure.duty || other === tenure || other.from < tenure.from) continue;
      // Sorted by their begin: of two that begin at once, the one that stands first is the earlier.
      if (other.from === tenure.from && tenures.indexOf(other) < tenures.indexOf(tenure)) continue;
      if (other.from > tenure.to) continue;
      const ms = (Math.min(tenure.to, other.to) - other.from).toFixed(1);
      const text = `${tenure.agent} (${tenure.token}, run ${tenure.life}) and ${other.agent} (${other.token}, run ${other.life}) for ${ms} ms`;
      violations.push({ invariant: 'one at a time', duty: tenure.duty, at: other.from, text });
    }
  }
  return { tenures, violations };
}

export interface Takeover {
  readonly duty: string;
  readonly from: string;
  readonly to: string;
  /** From the fault to the first effect under another session: on another box, or by the victim's next life. */
  readonly ms: number;
  /** From the last effect of the old holder to the first of the new one. Never negative where nothing overlaps. */
  readonly silentMs: number;
}

/** Who took over what the victim held at `faultAt`; a duty that nobody took over is missing. */
export function takeovers(tenures: readonly Tenure[], victim: string, faultAt: number): Takeover[] {
  const found: Takeover[] = [];
  for (const duty of heldBy(tenures, victim, faultAt)) {
    const before = tenures.findLast((one) => one.duty === duty && one.from <= faultAt);
    const next = tenures.find((one) => one.duty === duty && one.session !== before?.session && one.from > faultAt);
    if (before === undefined || next === undefined) continue;
    const last = tenures
      .filter((one) => one.duty === duty && one.session === before.session)
      .reduce((latest, one) => Math.max(latest, one.to), Number.NEGATIVE_INFINITY);
    found.push({ duty, from: victim, to: next.agent, ms: next.from - faultAt, silentMs: next.from - last });
  }
  return found;
}

/** A program is late now and then on a busy machine: who acted within this before counts as the holder. */
const freshMs = 500;

export function heldBy(tenures: readonly Tenure[], agent: string, at: number): string[] {
  const duties = new Set(tenures.map(({ duty }) => duty));
  return [...duties].filter((duty) => {
    const before = tenures.filter((one) => one.duty === duty && one.from <= at && one.to >= at - freshMs);
    return before.length > 0 && before.every((one) => one.agent === agent);
  });
}

export interface Spread {
  readonly samples: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** By nearest rank: with fewer than a hundred samples the 99th percentile is the largest. */
export function spread(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  const rank = (share: number): number | null => {
    const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
    return value === undefined ? null : Math.round(value * 10) / 10;
  };
  return { samples: sorted.length, p50Ms: rank(0.5), p99Ms: rank(0.99), maxMs: rank(1) };
}
