import type { Random } from '../../agent/base/random.ts';
import type { Faults } from './faults.ts';
import { lag } from './pump-skid.ts';
import type { MachineState, PressTag } from './register-map.ts';

/** A hydraulic press: main bearing, oil circuit cooled by the pump skid's loop, a stroke every two seconds. */
export class Press {
  state: MachineState = 'running';
  lockout = false;
  readonly #random: Random;
  readonly #faults: Faults;
  #speed = 1;
  #oilIn = 38;
  #oilOut = 44;
  #strokes = 0;

  constructor(random: Random, faults: Faults) {
    this.#random = random;
    this.#faults = faults;
  }

  /** Strokes so far, with fraction. */
  get strokes(): number {
    return this.#strokes;
  }

  /** `coolingFlow` in l/min. Without cooling the oil runs hot within minutes. */
  step(dt: number, coolingFlow: number): void {
    const wear = this.#faults.level('press-bearing-wear');
    this.#speed = lag(this.#speed, this.state === 'running' ? 1 : 0, dt, 0.5);
    this.#strokes += 0.5 * this.#speed * dt;
    this.#oilIn = lag(this.#oilIn, 38 + 30 * this.#speed * (1 - Math.min(1, coolingFlow / 32)), dt, 120);
    this.#oilOut = lag(this.#oilOut, this.#oilIn + (6 + 8 * wear) * this.#speed, dt, 30);
  }

  read(): Record<PressTag, number> {
    const n = (sigma: number) => this.#random.normal() * sigma;
    const wear = this.#faults.level('press-bearing-wear');
    const leak = this.#faults.level('press-oil-leak');
    const s = this.#speed;
    const oilBar = Math.max(0, (5.5 - 4.5 * leak) * s + n(0.05));
    return {
      // A healthy bearing of this size runs at 2 to 3 mm/s; a worn one at four times that.
      'Bearing.RMS': Math.max(0.05, 0.2 + s * (2.2 + 8.4 * wear ** 1.5 + n(0.12))),
      'Oil.Raw': Math.round((Math.min(10, oilBar) / 10) * 27_648),
      'Oil.In': this.#oilIn + n(0.1),
      'Oil.Out': this.#oilOut + n(0.1),
      'Motor.Current': Math.max(0, s * (42 + 6 * wear + n(1.5))),
      Strokes: Math.floor(this.#strokes) >>> 0,
    };
  }
}
