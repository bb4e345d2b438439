import type { Random } from '../../agent/base/random.ts';
import type { Faults } from './faults.ts';
import type { MachineState, PumpSensor } from './register-map.ts';

/** First-order lag towards a target: what heat and rotating mass do. `tau` in seconds. */
export const lag = (value: number, target: number, dt: number, tau: number): number =>
  value + (target - value) * (1 - Math.exp(-dt / tau));

/**
 * A small water loop: motor, centrifugal pump, outlet valve, eight sensors. Figures and noise are those of a test rig
 * of this kind (32 l/min, 230 V, about 1 A), so that one site file and one choice of model inputs fit both this
 * pump and a recording of the rig.
 */
export class PumpSkid {
  state: MachineState = 'running';
  lockout = false;
  readonly #random: Random;
  readonly #faults: Faults;
  #speed = 1;
  #flow = 32;
  #motor = 68;
  #fluid = 25;
  #stuckPressure: number | undefined;

  constructor(random: Random, faults: Faults) {
    this.#random = random;
    this.#faults = faults;
  }

  /** True flow in l/min, before the sensor: what cools the press. */
  get flow(): number {
    return this.#flow;
  }

  step(dt: number): void {
    const cavitation = this.#faults.level('pump-cavitation');
    const closed = this.#faults.level('pump-valve-closed');
    this.#speed = lag(this.#speed, this.state === 'running' ? 1 : 0, dt, 1.5);
    this.#flow = lag(this.#flow, 32 * this.#speed * (1 - 0.85 * closed) * (1 - 0.3 * cavitation), dt, 0.8);
    this.#motor = lag(this.#motor, 25 + 45 * this.#speed + 6 * closed, dt, 300);
    this.#fluid = lag(this.#fluid, 24 + 2.5 * this.#speed + 3 * closed, dt, 600);
  }

  /** One reading of all sensors; each call draws new noise. */
  read(): Record<PumpSensor, number> {
    const n = (sigma: number) => this.#random.normal() * sigma;
    const cavitation = this.#faults.level('pump-cavitation');
    const closed = this.#faults.level('pump-valve-closed');
    const s = this.#speed;
    let pressure = (0.3 + 0.9 * closed - 0.15 * cavitation) * s * s + n(0.24 + 0.3 * cavitation) * s;
    if (this.#faults.isOn('pump-pressure-stuck')) pressure = this.#stuckPressure ??= pressure;
    else this.#stuckPressure = undefined;
    return {
      Accelerometer1RMS: Math.abs(0.002 + 0.0255 * s + 0.09 * cavitation + 0.012 * closed + n(0.0007)),
      Accelerometer2RMS: Math.abs(0.002 + 0.038 * s + 0.12 * cavitation + 0.015 * closed + n(0.0009)),
      Current: Math.max(0, (1.05 + 0.25 * closed - 0.2 * cavitation) * s + n(0.25) * s),
      Pressure: pressure,
      Temperature: this.#motor + n(0.15),
      Thermocouple: this.#fluid + n(0.02),
      Voltage: 230 + n(10),
      // The rig's flow meter has a coarse step.
      VolumeFlowRateRMS: Math.max(0, Math.round((this.#flow + n(0.15 + 2.5 * cavitation)) * 96) / 96),
    };
  }
}
