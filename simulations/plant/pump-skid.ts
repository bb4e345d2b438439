import { lag, Machine } from './machine.ts';
import type { PumpSensor } from './register-map.ts';
import { nominal, type Surroundings } from './surroundings.ts';

/**
 * A small water loop: motor, centrifugal pump, outlet valve, eight sensors. Figures and noise are those of a test rig
 * of this kind (32 l/min, 230 V, about 1 A), so that one site file and one choice of model inputs fit both this
 * pump and a recording of the rig. A drive turns it as fast as the load asks.
 */
export class PumpSkid extends Machine {
  static readonly properties = ['drive', 'hydraulics', 'vibration-drive', 'vibration-pump', 'heat'] as const;
  #speed = 1;
  #flow = 32;
  #motor = 68;
  #fluid = 25;

  /** True flow in l/min, before the sensor: what cools the press and the oven. */
  get flow(): number {
    return this.#flow;
  }

  step(dt: number, { air, load }: Surroundings = nominal): void {
    const cavitation = this.faults.level('pump-cavitation');
    const closed = this.faults.level('pump-valve-closed');
    const leak = this.faults.level('pump-seal-leak');
    const wear = this.faults.level('pump-bearing-wear');
    const target = this.state === 'running' ? 0.75 + 0.25 * load : 0;
    this.#speed = lag(this.#speed, target, dt, 1.5);
    const passes = (1 - 0.85 * closed) * (1 - 0.3 * cavitation) * (1 - 0.35 * leak);
    this.#flow = lag(this.#flow, 32 * this.#speed * passes * this.traits.factor('hydraulics'), dt, 0.8);
    const heat = this.traits.factor('heat') * (45 * this.#speed + 6 * closed + 18 * wear);
    this.#motor = lag(this.#motor, air + heat, dt, 300);
    this.#fluid = lag(this.#fluid, air - 1 + 2.5 * this.#speed + 3 * closed, dt, 600);
  }

  /** One reading of all sensors; each call draws new noise. */
  read(): Record<PumpSensor, number> {
    const n = (sigma: number) => this.noise(sigma);
    const cavitation = this.faults.level('pump-cavitation');
    const closed = this.faults.level('pump-valve-closed');
    const leak = this.faults.level('pump-seal-leak');
    const wear = this.faults.level('pump-bearing-wear');
    const imbalance = this.faults.level('pump-imbalance');
    const s = this.#speed;
    const drive = this.traits.factor('vibration-drive');
    const end = this.traits.factor('vibration-pump');
    const head = (0.3 * this.traits.factor('hydraulics') + 0.9 * closed - 0.15 * cavitation - 0.15 * leak) * s * s;
    return this.sensors.distort('pump-skid', {
      Accelerometer1RMS: Math.abs(
        0.002 +
          0.0255 * s * drive +
          s * (0.09 * cavitation + 0.012 * closed + 0.06 * imbalance + 0.05 * wear) +
          n(0.0007),
      ),
      Accelerometer2RMS: Math.abs(
        0.002 + 0.038 * s * end + s * (0.12 * cavitation + 0.015 * closed + 0.035 * imbalance) + n(0.0009),
      ),
      Current: Math.max(
        0,
        (1.05 * this.traits.factor('drive') + 0.25 * closed - 0.2 * cavitation + 0.2 * wear) * s + n(0.25) * s,
      ),
      Pressure: head + n(0.24 + 0.3 * cavitation) * s,
      Temperature: this.#motor + n(0.15),
      Thermocouple: this.#fluid + n(0.02),
      Voltage: 230 + n(10),
      // The rig's flow meter has a coarse step.
      VolumeFlowRateRMS: Math.max(0, Math.round((this.#flow + n(0.15 + 2.5 * cavitation)) * 96) / 96),
    });
  }
}
