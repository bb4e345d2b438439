import { lag, Machine } from './machine.ts';
import { type ConveyorRegister, machineStates } from './register-map.ts';
import { nominal, type Surroundings } from './surroundings.ts';

/** A belt that carries blanks to the press and its parts to the oven: five parts on it in normal running. */
export class Conveyor extends Machine {
  static readonly properties = ['drive', 'heat', 'belt'] as const;
  #speed = 0.5;
  #temperature = 35;
  #onBelt = 5;
  #parts = 0;
  #rate = 0.5;

  /** Blanks for the press, 0..1: a belt that stands brings none. */
  get blanks(): number {
    return Math.min(1, this.#speed / 0.4);
  }

  /** Parts per second that reach the oven. */
  get rate(): number {
    return this.#rate;
  }

  /** `partsIn`: parts that the press dropped during `dt`. */
  step(dt: number, partsIn: number, { air }: Surroundings = nominal): void {
    const jam = this.faults.level('conveyor-jam');
    const slip = this.faults.level('conveyor-belt-slip');
    const wear = this.faults.level('conveyor-bearing-wear');
    const running = this.state === 'running';
    const target = running ? 0.5 * (1 - jam) * (1 - 0.33 * slip) * this.traits.factor('belt') : 0;
    this.#speed = lag(this.#speed, target, dt, 0.4);
    const before = this.#onBelt;
    const perPart = (this.#speed / 0.5) * 0.1;
    const there = perPart > 1e-9 ? partsIn / dt / perPart : Number.POSITIVE_INFINITY;
    const after = Number.isFinite(there) ? lag(before, there, dt, 1 / perPart) : before + partsIn;
    const out = Math.max(0, before + partsIn - after);
    // A belt that is full drops parts into the bin beside it.
    this.#onBelt = Math.min(20, after);
    this.#parts += out;
    this.#rate = lag(this.#rate, out / dt, dt, 5);
    const heat = running ? this.traits.factor('heat') * (12 + 60 * jam + 25 * wear) : 0;
    this.#temperature = lag(this.#temperature, air + heat, dt, 60);
  }

  read(): Record<ConveyorRegister, number> {
    const n = (sigma: number) => this.noise(sigma);
    const jam = this.faults.level('conveyor-jam');
    const slip = this.faults.level('conveyor-belt-slip');
    const wear = this.faults.level('conveyor-bearing-wear');
    const driven = this.state === 'running' ? 1 : 0;
    const load = Math.min(100, Math.max(0, this.#onBelt * 5 + n(0.5)));
    const drag = 2.2 * this.traits.factor('drive') + load * 0.01 + 4.8 * jam + 2 * wear - 0.5 * slip;
    return this.sensors.distort('conveyor', {
      running: driven,
      lockout: this.lockout ? 1 : 0,
      state: machineStates[this.state],
      speed: Math.max(0, this.#speed + n(0.003)),
      current: driven * Math.max(0, drag + n(0.05)),
      temperature: Math.round((this.#temperature + n(0.1)) * 10),
      load: Math.round((load / 100) * 27_648),
      parts: Math.floor(this.#parts) >>> 0,
    });
  }
}
