import type { Random } from '../../agent/base/random.ts';

/** What all machines of a hall work in. */
export interface Surroundings {
  /** Air in the hall, °C. */
  readonly air: number;
  /** What the day's order asks of the line: 1 is nominal, 0.6 … 1.1 are usual. */
  readonly load: number;
}

export const nominal: Surroundings = { air: 25, load: 1 };

/**
 * How one machine differs from another of its make: a factor per property, 1 unless drawn. Nobody who watches the
 * machine knows them, and after an overhaul they are others.
 */
export class Traits {
  readonly #factors = new Map<string, number>();
  readonly #drawn = new Map<string, number>();

  factor(property: string): number {
    return this.#factors.get(property) ?? 1;
  }

  /** Anew around 1, by `spread` (one standard deviation); never further than three of them. */
  draw(properties: readonly string[], spread: number, random: Random): void {
    for (const property of properties) {
      const step = Math.max(-3, Math.min(3, random.normal()));
      this.#drawn.set(property, 1 + spread * step);
      this.#factors.set(property, 1 + spread * step);
    }
  }

  /** Wanders by `step`, and is pulled back to what was drawn over `tau` such calls: what dirt and adjustments do. */
  wander(properties: readonly string[], step: number, tau: number, random: Random): void {
    for (const property of properties) {
      const now = this.factor(property);
      this.#factors.set(property, now + ((this.#drawn.get(property) ?? 1) - now) / tau + step * random.normal());
    }
  }
}
