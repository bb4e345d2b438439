import { lag, Machine } from './machine.ts';
import type { PressTag } from './register-map.ts';
import { nominal, type Surroundings } from './surroundings.ts';

/** What comes to the press from other machines. */
export interface PressSupply {
  /** Cooling water, l/min; 32 is enough. */
  readonly cooling: number;
  /** Compressed air for the clamp, bar. */
  readonly air: number;
  /** Blanks from the belt, 0 none .. 1 as many as it takes. */
  readonly blanks: number;
}

export const fullSupply: PressSupply = { cooling: 32, air: 7, blanks: 1 };

/** A hydraulic press: main bearing, oil circuit cooled by the pump skid's loop, a clamp on compressed air, a stroke every two seconds. */
export class Press extends Machine {
  static readonly properties = ['bearing', 'drive', 'oil', 'cooler', 'clamp'] as const;
  #speed = 1;
  #load = 1;
  #oilIn = 38;
  #oilOut = 44;
  #strokes = 0;
  #clamp = 40;

  /** Strokes so far, with fraction. */
  get strokes(): number {
    return this.#strokes;
  }

  /** Without cooling the oil runs hot within minutes; without blanks it turns and presses nothing. */
  step(dt: number, supply: PressSupply = fullSupply, { air, load }: Surroundings = nominal): void {
    const stopped = this.faults.isOn('press-plc-stop');
    const wear = this.faults.level('press-bearing-wear');
    this.#load = load;
    this.#speed = lag(this.#speed, this.state === 'running' && !stopped ? 1 : 0, dt, 0.5);
    this.#strokes += 0.5 * this.#speed * Math.min(1, supply.blanks) * load * dt;
    const uncooled = 1 - Math.min(1, supply.cooling / 32);
    const cold = 38 + 0.6 * (air - 25) * this.traits.factor('cooler');
    this.#oilIn = lag(this.#oilIn, cold + 30 * this.#speed * uncooled, dt, 120);
    const heat = (3.5 + 2.5 * load) * this.traits.factor('oil');
    this.#oilOut = lag(this.#oilOut, this.#oilIn + (heat + 8 * wear) * this.#speed, dt, 30);
    this.#clamp = lag(this.#clamp, (40 / 7) * supply.air * this.traits.factor('clamp'), dt, 2);
  }

  read(): Record<PressTag, number> {
    const n = (sigma: number) => this.noise(sigma);
    const wear = this.faults.level('press-bearing-wear');
    const leak = this.faults.level('press-oil-leak');
    const s = this.#speed;
    const oilBar = Math.max(0, (5.5 * this.traits.factor('oil') - 4.5 * leak) * s + n(0.05));
    const turning = (1.5 + 0.7 * this.#load) * this.traits.factor('bearing');
    const torque = (24 + 18 * this.#load) * this.traits.factor('drive');
    return this.sensors.distort('press', {
      // A healthy bearing of this size runs at 2 to 3 mm/s; a worn one at four times that.
      'Bearing.RMS': Math.max(0.05, 0.2 + s * (turning + 8.4 * wear ** 1.5 + n(0.12))),
      'Oil.Raw': Math.round((Math.min(10, oilBar) / 10) * 27_648),
      'Oil.In': this.#oilIn + n(0.1),
      'Oil.Out': this.#oilOut + n(0.1),
      'Motor.Current': Math.max(0, s * (torque + 6 * wear + n(1.5))),
      'Clamp.Force': Math.max(0, this.#clamp + n(0.15)),
      Strokes: Math.floor(this.#strokes) >>> 0,
    });
  }
}
