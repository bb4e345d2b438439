import type { FaultEvent } from '../faults/fault.ts';
import type { Violation } from '../invariants/invariants.ts';
import type { Witness } from '../run.ts';
import type { World } from '../world/world.ts';

/** How the others see one member from then on: how many of those who are up hold it alive, suspect, dead. */
export interface Seen {
  readonly atMs: number;
  readonly alive: number;
  readonly suspect: number;
  readonly dead: number;
}

/** Whether a box really ran from then on; a frozen one is up and does nothing. */
export interface Truth {
  readonly atMs: number;
  readonly is: 'up' | 'down' | 'frozen';
}

export interface Shift {
  readonly duty: number;
  readonly agent: number;
  readonly fromMs: number;
  /** Undefined: until the end. */
  toMs: number | undefined;
}

const code: Readonly<Record<string, number>> = { unknown: 0, alive: 1, suspect: 2, dead: 3, left: 3 };

/** What a page tells of a run: looked at a few times per second, kept only where something changed. */
export class Story {
  readonly seen: Seen[][] = [];
  readonly truth: Truth[][] = [];
  readonly shifts: Shift[] = [];
  readonly faults: FaultEvent[] = [];
  readonly violations: Violation[] = [];
  /** Row per observer, column per member. */
  #views = new Uint8Array(0);
  #dirty = new Uint8Array(0);
  #lives: number[] = [];
  #size = 0;
  readonly #open = new Map<string, Shift>();

  readonly witness: Witness = {
    memberChanged: (_atMs, observer, member, _from, to) => {
      if (this.#size === 0) this.#early.push([observer, member, code[to] ?? 0]);
      else this.#set(observer, member, code[to] ?? 0);
    },
    dutyRunning: (atMs, agent, duty, running) => {
      const key = `${duty} ${agent}`;
      const open = this.#open.get(key);
      if (running && !open && this.shifts.length < maxShifts) {
        const shift: Shift = { duty, agent, fromMs: atMs, toMs: undefined };
        this.shifts.push(shift);
        this.#open.set(key, shift);
      } else if (!running && open) {
        open.toMs = atMs;
        this.#open.delete(key);
      }
    },
    injected: (_atMs, fault) => {
      this.faults.push(fault);
    },
    violated: (violation) => {
      this.violations.push(violation);
    },
    sampled: (world) => this.#sample(world),
  };
  /** Before the first look nothing is known of the size. */
  readonly #early: [number, number, number][] = [];

  #set(observer: number, member: number, state: number): void {
    this.#views[observer * this.#size + member] = state;
    this.#dirty[member] = 1;
  }

  #sample(world: World): void {
    if (this.#size === 0) {
      this.#size = world.boxes.length;
      this.#views = new Uint8Array(this.#size * this.#size);
      this.#dirty = new Uint8Array(this.#size).fill(1);
      this.#lives = world.boxes.map(() => 0);
      for (const box of world.boxes) {
        this.seen.push([]);
        this.truth.push([]);
        this.#lives[box.index] = box.life;
      }
      for (const [observer, member, state] of this.#early) this.#set(observer, member, state);
    }
    for (const box of world.boxes) {
      // Before its first start it is not missing yet.
      const is = !box.up && box.life > 0 ? 'down' : box.pausedUntil > world.now ? 'frozen' : 'up';
      const truth = this.truth[box.index]!;
      if (truth.at(-1)?.is !== is) {
        if (truth.at(-1)?.is === 'down' || is === 'down') this.#dirty.fill(1);
        truth.push({ atMs: world.now, is });
      }
      if (this.#lives[box.index] === box.life) continue;
      this.#lives[box.index] = box.life;
      this.#views.fill(0, box.index * this.#size, (box.index + 1) * this.#size);
      this.#dirty.fill(1);
      // What it learned since it started, before this look.
      if (box.core) {
        for (let member = 0; member < this.#size; member++)
          this.#views[box.index * this.#size + member] = code[box.core.membership.state(member)] ?? 0;
      }
    }
    for (let member = 0; member < this.#size; member++) {
      if (this.#dirty[member] === 0) continue;
      this.#dirty[member] = 0;
      const counts = [0, 0, 0, 0];
      for (const { up, index } of world.boxes) {
        if (!up || index === member) continue;
        const state = this.#views[index * this.#size + member]!;
        counts[state] = counts[state]! + 1;
      }
      const [, alive, suspect, dead] = counts as [number, number, number, number];
      const last = this.seen[member]!.at(-1);
      if (last && last.alive === alive && last.suspect === suspect && last.dead === dead) continue;
      this.seen[member]!.push({ atMs: world.now, alive, suspect, dead });
    }
  }
}

const maxShifts = 20_000;
