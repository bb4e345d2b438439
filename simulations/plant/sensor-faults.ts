import type { Random } from '../../agent/base/random.ts';
import { type FaultName, type Faults, faultCatalogue, faultNames } from './faults.ts';

type Distortion =
  | { readonly does: 'stick' }
  /** Reads wrong by `by` at full severity. */
  | { readonly does: 'drift'; readonly by: number }
  /** Additional noise of this deviation at full severity. */
  | { readonly does: 'shake'; readonly by: number }
  | { readonly does: 'step'; readonly by: number };

/** Faults that lie in a sensor alone: the machine is well, its reading is not. In the units of the tag. */
const distortions: Partial<Record<FaultName, { readonly tag: string } & Distortion>> = {
  'pump-pressure-stuck': { tag: 'Pressure', does: 'stick' },
  'pump-flow-drift': { tag: 'VolumeFlowRateRMS', does: 'drift', by: -8 },
  // Of 27648 for 10 bar.
  'press-oil-noise': { tag: 'Oil.Raw', does: 'shake', by: 1400 },
  'compressor-pressure-coarse': { tag: 'air-pressure', does: 'step', by: 0.25 },
};
const distorting = faultNames.filter((name) => distortions[name] !== undefined);

export class SensorFaults {
  readonly #faults: Faults;
  readonly #random: Random;
  readonly #stuck = new Map<FaultName, number>();

  constructor(faults: Faults, random: Random) {
    this.#faults = faults;
    this.#random = random;
  }

  /** Changes the readings of one machine in place, and returns them. */
  distort<T extends string>(machine: string, readings: Record<T, number>): Record<T, number> {
    for (const name of distorting) {
      if (faultCatalogue[name].machine !== machine) continue;
      if (!this.#faults.isOn(name)) {
        this.#stuck.delete(name);
        continue;
      }
      const how = distortions[name]!;
      const tag = how.tag as T;
      const level = this.#faults.level(name);
      const value = readings[tag];
      switch (how.does) {
        case 'stick': {
          const held = this.#stuck.get(name) ?? value;
          this.#stuck.set(name, held);
          readings[tag] = held;
          break;
        }
        case 'drift':
          readings[tag] = value + how.by * level;
          break;
        case 'shake':
          readings[tag] = Math.round(value + how.by * level * this.#random.normal());
          break;
        case 'step':
          readings[tag] = Math.round(value / how.by) * how.by;
          break;
      }
    }
    return readings;
  }
}
