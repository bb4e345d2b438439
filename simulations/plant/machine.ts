import type { Random } from '../../agent/base/random.ts';
import type { Faults } from './faults.ts';
import type { MachineState } from './register-map.ts';
import { SensorFaults } from './sensor-faults.ts';
import { Traits } from './surroundings.ts';

/** First-order lag towards a target: what heat and rotating mass do. `tau` in seconds. */
export const lag = (value: number, target: number, dt: number, tau: number): number =>
  value + (target - value) * (1 - Math.exp(-dt / tau));

/** What all machines have: a state, a lockout switch, faults, noise, and a character of their own. */
export class Machine {
  state: MachineState = 'running';
  lockout = false;
  readonly traits = new Traits();
  protected readonly faults: Faults;
  protected readonly sensors: SensorFaults;
  readonly #random: Random;

  constructor(random: Random, faults: Faults) {
    this.#random = random;
    this.faults = faults;
    this.sensors = new SensorFaults(faults, random.fork('sensors'));
  }

  protected noise(sigma: number): number {
    return this.#random.normal() * sigma;
  }
}
