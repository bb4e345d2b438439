import { readFileSync } from 'node:fs';
import { mostShedding, type SheddingLevel } from '../core/health/shedding.ts';
import type { Deliver } from '../driver/ports.ts';

/** What one agent may cost its box; undefined: as much as it takes. */
export interface Budget {
  /** Share of one core, 0.1 is 10 %. What it starts (plugins, queries) counts with it. */
  readonly cpuShare: number | undefined;
  /** Resident memory of this process, bytes. */
  readonly memoryBytes: number | undefined;
}

/** One reading of what this agent has cost so far. */
export interface Spent {
  readonly atMs: number;
  /** CPU time since the start, own and of children that have ended, seconds. */
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
}

/** Over so long the CPU share is a mean: the first minute of a life and a model that is loaded are no reason to shed. */
const windowMs = 60_000;
/** A step up is given so long to show what it brings … */
const riseMs = 60_000;
/** … and a step down is taken when so long was well within the budget. */
const fallMs = 300_000;
/** Well within: below this share of each limit. Closer, and the next step down would only be taken back. */
const well = 0.8;
/** Memory is given back late by whoever collects it, if ever: within the limit is well enough. */
const wellMemory = 0.95;
const everyMs = 5_000;

/**
 * Judges what is spent against the budget: over it, one more step of shedding, and one less after five minutes well within
 * it. One step at a time and never silently: each has its reason in words.
 */
export class BudgetJudge {
  readonly #budget: Budget;
  readonly #readings: Spent[] = [];
  #level: SheddingLevel = 0;
  #changedAt = Number.NEGATIVE_INFINITY;
  #wellSince: number | undefined;
  #share: number | undefined;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get level(): SheddingLevel {
    return this.#level;
  }

  /** Mean share of one core over the last minute; undefined in the first one. */
  get cpuShare(): number | undefined {
    return this.#share;
  }

  /** The new level and why, when it changed. */
  judge(now: Spent): { readonly level: SheddingLevel; readonly why: string } | undefined {
    const { cpuShare, memoryBytes } = this.#budget;
    this.#readings.push(now);
    while (this.#readings.length > 2 && now.atMs - (this.#readings[1]?.atMs ?? 0) >= windowMs) this.#readings.shift();
    const first = this.#readings[0] ?? now;
    const elapsed = now.atMs - first.atMs;
    this.#share = elapsed < windowMs ? undefined : (1_000 * (now.cpuSeconds - first.cpuSeconds)) / elapsed;

    const over: string[] = [];
    if (cpuShare !== undefined && this.#share !== undefined && this.#share > cpuShare) {
      over.push(`${percent(this.#share)} of a core, ${percent(cpuShare)} allowed`);
    }
    if (memoryBytes !== undefined && now.memoryBytes > memoryBytes) {
      over.push(`${mebibytes(now.memoryBytes)} of memory, ${mebibytes(memoryBytes)} allowed`);
    }
    const isWell =
      (cpuShare === undefined || (this.#share !== undefined && this.#share <= well * cpuShare)) &&
      (memoryBytes === undefined || now.memoryBytes <= wellMemory * memoryBytes);
    this.#wellSince = isWell ? (this.#wellSince ?? now.atMs) : undefined;

    if (over.length > 0 && this.#level < mostShedding && now.atMs - this.#changedAt >= riseMs) {
      return this.#change(now, this.#level + 1, `over its budget (${over.join('; ')})`);
    }
    const rested = this.#wellSince !== undefined && now.atMs - Math.max(this.#wellSince, this.#changedAt) >= fallMs;
    if (rested && this.#level > 0) return this.#change(now, this.#level - 1, 'within its budget again');
    return undefined;
  }

  #change(now: Spent, level: number, why: string): { readonly level: SheddingLevel; readonly why: string } {
    this.#level = level as SheddingLevel;
    this.#changedAt = now.atMs;
    return { level: this.#level, why };
  }
}

const percent = (share: number): string => `${Number((100 * share).toPrecision(2))} %`;
const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

/** What this process and its ended children have cost so far. */
export function spentSoFar(): Spent {
  return { atMs: performance.now(), cpuSeconds: cpuSeconds(), memoryBytes: process.memoryUsage.rss() };
}

function cpuSeconds(): number {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync('/proc/self/stat', 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      // utime, stime and those of waited-for children, in hundredths of a second (proc(5)).
      const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
      if (Number.isFinite(ticks)) return ticks / 100;
    } catch {
      // Without /proc: what Node knows, which is this process alone.
    }
  }
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

export interface BudgetWatch {
  readonly budget: Budget;
  /** Mean share of one core over the last minute. */
  cpuShare(): number | undefined;
  stop(): void;
}

/** Looks every five seconds at what this agent costs, if it has a budget, and tells the core how much to shed. */
export function watchBudget(budget: Budget, deliver: Deliver, spent: () => Spent = spentSoFar): BudgetWatch {
  const judge = new BudgetJudge(budget);
  const hasLimit = budget.cpuShare !== undefined || budget.memoryBytes !== undefined;
  const look = () => {
    const change = judge.judge(spent());
    if (change !== undefined) deliver({ kind: 'budget-judged', ...change });
  };
  const timer = hasLimit ? setInterval(look, everyMs) : undefined;
  timer?.unref();
  return { budget, cpuShare: () => judge.cpuShare, stop: () => clearInterval(timer) };
}
