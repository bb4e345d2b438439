import type { Random } from '../../agent/base/random.ts';
import type { Faults } from './faults.ts';
import { lag } from './pump-skid.ts';
import { type ConveyorRegister, type MachineState, machineStates } from './register-map.ts';

/** A belt that carries what the press makes: one part per stroke, five on the belt in normal running. */
export class Conveyor {
  state: MachineState = 'running';
  lockout = false;
  readonly #random: Random;
  readonly #faults: Faults;
  #speed = 0.5;
  #temperature = 35;
  #onBelt = 5;
  #parts = 0;

  constructor(random: Random, faults: Faults) {
    this.#random = random;
    this.#faults = faults;
  }

  /** `partsIn`: parts that the press dropped during `dt`. */
  step(dt: number, partsIn: number): void {
    const jam = this.#faults.level('conveyor-jam');
    this.#speed = lag(this.#speed, this.state === 'running' ? 0.5 * (1 - jam) : 0, dt, 0.4);
    const out = Math.min(this.#onBelt, (this.#speed / 0.5) * 0.1 * this.#onBelt * dt);
    // A belt that is full drops parts into the bin beside it.
    this.#onBelt = Math.min(20, this.#onBelt + partsIn - out);
    this.#parts += out;
    this.#temperature = lag(this.#temperature, 25 + (this.state === 'running' ? 12 + 60 * jam : 0), dt, 60);
  }

  read(): Record<ConveyorRegister, number> {
    const n = (sigma: number) => this.#random.normal() * sigma;
    const jam = this.#faults.level('conveyor-jam');
    const driven = this.state === 'running' ? 1 : 0;
    const load = Math.min(100, Math.max(0, this.#onBelt * 5 + n(0.5)));
    return {
      running: driven,
      lockout: this.lockout ? 1 : 0,
      state: machineStates[this.state],
      speed: Math.max(0, this.#speed + n(0.003)),
      current: driven * Math.max(0, 2.2 + load * 0.01 + 4.8 * jam + n(0.05)),
      temperature: Math.round((this.#temperature + n(0.1)) * 10),
      load: Math.round((load / 100) * 27_648),
      parts: Math.floor(this.#parts) >>> 0,
    };
  }
}
