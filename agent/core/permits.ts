import type { AgentIndex } from '../base/ids.ts';
import { after, type Instant, instant, never } from '../base/time.ts';
import type { CellPlan } from './leases/cell-plan.ts';

/** A run that needs one of a permit's slots; `permit` is `cell/name`. */
export interface PermitNeed {
  readonly run: string;
  readonly permit: string;
}

export type PermitOutput =
  | { readonly kind: 'want'; readonly lease: string; readonly delayMs: number }
  | { readonly kind: 'release'; readonly lease: string }
  | { readonly kind: 'began'; readonly lease: string }
  | { readonly kind: 'finished'; readonly lease: string; readonly token: string };

interface Slot {
  readonly lease: string;
  readonly permit: string;
  readonly lingerMs: number;
  isWished: boolean;
  token: string | undefined;
  run: string | undefined;
  /** Its run ended in doubt: an effect may land until then. */
  freeAt: Instant;
}

/** Slots are tried one after another, so that a run does not take two to give one back. */
const nextSlotMs = 60;

/**
 * Permits of this agent's runs: at most so many of a cell work at the same time (reboots of a line, say). A permit is a
 * lease per slot; a run holds one from its first step to its last. Who waits for nothing holds nothing.
 *
 * Guaranteed: a slot is given back only when no effect of its run can land any more; where that is not known it is kept
 * for the linger, which is at least the longest step. Not guaranteed: a slot to everybody who waits, in any order.
 */
export class Permits {
  readonly #self: AgentIndex;
  readonly #slots: readonly Slot[];
  readonly #byLease: ReadonlyMap<string, Slot>;
  #waiting: readonly PermitNeed[] = [];

  constructor(cells: readonly CellPlan[], self: AgentIndex) {
    this.#self = self;
    this.#slots = cells.flatMap((cell) =>
      cell.leases.flatMap(({ id, of, eligible, lingerMs }) =>
        of.kind === 'permit' && eligible.includes(self)
          ? [
              {
                lease: id,
                permit: `${cell.id}/${of.permit}`,
                lingerMs,
                isWished: false,
                token: undefined,
                run: undefined,
                freeAt: never,
              },
            ]
          : [],
      ),
    );
    this.#byLease = new Map(this.#slots.map((slot) => [slot.lease, slot]));
  }

  get isIdle(): boolean {
    return this.#slots.length === 0;
  }

  has(lease: string): boolean {
    return this.#byLease.has(lease);
  }

  /** The slot that this run was given; whether it is valid at this moment, the lease says. */
  leaseOf(run: string): string | undefined {
    return this.#slots.find((slot) => slot.run === run)?.lease;
  }

  /** What all runs need now. `inDoubt`: a run ended, and an effect of it may still land. */
  sync(now: Instant, needs: readonly PermitNeed[], inDoubt: (run: string) => boolean, out: PermitOutput[]): void {
    const needed = new Set(needs.map(({ run }) => run));
    for (const slot of this.#slots) {
      if (slot.run === undefined || needed.has(slot.run)) continue;
      const isInDoubt = inDoubt(slot.run);
      slot.run = undefined;
      if (isInDoubt) slot.freeAt = after(now, slot.lingerMs);
      else this.#free(slot, out);
    }
    this.#waiting = needs.filter(({ run }) => this.leaseOf(run) === undefined);
    this.#wish(out);
  }

  acquired(lease: string, token: string, out: PermitOutput[]): void {
    const slot = this.#byLease.get(lease);
    if (slot === undefined) return;
    slot.token = token;
    // It lapsed for a while and is back, for the work that never let go of it.
    if (slot.run !== undefined || slot.freeAt !== never) return;
    const need = this.#waiting.find(({ permit }) => permit === slot.permit);
    if (need === undefined) {
      slot.isWished = false;
      slot.token = undefined;
      out.push({ kind: 'release', lease });
      return;
    }
    slot.run = need.run;
    this.#waiting = this.#waiting.filter((other) => other !== need);
    out.push({ kind: 'began', lease });
    this.#wish(out);
  }

  renumbered(lease: string, token: string): void {
    const slot = this.#byLease.get(lease);
    if (slot?.token !== undefined) slot.token = token;
  }

  deadline(): Instant {
    let at: number = never;
    for (const slot of this.#slots) at = Math.min(at, slot.freeAt);
    return instant(at);
  }

  tick(now: Instant, out: PermitOutput[]): void {
    for (const slot of this.#slots) {
      if (slot.freeAt > now) continue;
      slot.freeAt = never;
      this.#free(slot, out);
    }
    this.#wish(out);
  }

  #free(slot: Slot, out: PermitOutput[]): void {
    if (slot.token !== undefined) out.push({ kind: 'finished', lease: slot.lease, token: slot.token });
    out.push({ kind: 'release', lease: slot.lease });
    slot.token = undefined;
    slot.isWished = false;
  }

  /** Every free slot of a permit that somebody waits for is asked for; the others are not. */
  #wish(out: PermitOutput[]): void {
    const wanted = new Set(this.#waiting.map(({ permit }) => permit));
    const places = new Map<string, number>();
    for (const slot of this.#slots) {
      const place = places.get(slot.permit) ?? 0;
      places.set(slot.permit, place + 1);
      if (slot.run !== undefined || slot.freeAt !== never) continue;
      if (wanted.has(slot.permit) === slot.isWished) continue;
      slot.isWished = !slot.isWished;
      if (!slot.isWished) {
        slot.token = undefined;
        out.push({ kind: 'release', lease: slot.lease });
        continue;
      }
      // Agents begin at different slots, so that they do not all meet at the first.
      const slots = this.#slots.filter(({ permit }) => permit === slot.permit).length;
      out.push({ kind: 'want', lease: slot.lease, delayMs: ((place + this.#self) % slots) * nextSlotMs });
    }
  }
}
