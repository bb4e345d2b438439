import { lag, Machine } from './machine.ts';
import type { OvenTag } from './register-map.ts';
import { nominal, type Surroundings } from './surroundings.ts';

/** What the oven holds, °C. */
export const ovenSetpoint = 180;

/**
 * A tunnel oven behind the belt: one controller on the thermocouple of zone 1, a second zone that nobody controls, a
 * stack, and bearings cooled by the pump skid's water. Every part that comes in takes heat with it.
 *
 * The heat balance is in shares of the heater's rated power: 30 % holds the empty oven at its setpoint, 25 % heats half a
 * part a second.
 */
export class Oven extends Machine {
  static readonly properties = ['heater', 'wall', 'zone', 'stack', 'cooler'] as const;
  #zone1 = ovenSetpoint;
  #zone2 = 176;
  #exhaust = 120;
  #cooling = 32;
  #integral = 0.5;
  #duty = 0.55;

  step(dt: number, partsPerSecond: number, cooling: number, { air }: Surroundings = nominal): void {
    const aged = this.faults.level('oven-heater-ageing');
    const leak = this.faults.level('oven-seal-leak');
    const on = this.state === 'running' && !this.faults.isOn('oven-plc-stop');
    const power = (1 - 0.55 * aged) * this.traits.factor('heater');
    const loss = 0.3 * this.traits.factor('wall') * (1 + 0.9 * leak) + 0.5 * partsPerSecond;
    // Ten seconds at a time: the controller is quicker than the step of whoever simulates a year.
    for (let left = dt; left > 1e-9; left -= 10) {
      const h = Math.min(10, left);
      const error = (ovenSetpoint - this.#measured()) / 100;
      this.#integral = Math.min(1, Math.max(0, this.#integral + error * 0.02 * h));
      this.#duty = on ? Math.min(1, Math.max(0, this.#integral + 3 * error)) : 0;
      // At rest: power · duty = loss · (T − air) / (180 − 25).
      const rest = air + ((power * this.#duty) / loss) * (ovenSetpoint - 25);
      this.#zone1 = lag(this.#zone1, rest, h, 270 / loss);
    }
    const rise = this.#zone1 - air;
    this.#zone2 = lag(this.#zone2, air + rise * (0.974 * this.traits.factor('zone') - 0.12 * leak), dt, 120);
    this.#exhaust = lag(this.#exhaust, air + rise * (0.61 * this.traits.factor('stack') - 0.1 * leak), dt, 60);
    const uncooled = 1 - Math.min(1, cooling / 32);
    const warms = on ? (7 + 0.02 * (rise - 150)) * this.traits.factor('cooler') : 0;
    this.#cooling = lag(this.#cooling, air + warms * (1 + 3 * uncooled), dt, 90);
  }

  #measured(): number {
    return this.#zone1 - 14 * this.faults.level('oven-thermocouple-drift');
  }

  read(): Record<OvenTag, number> {
    const n = (sigma: number) => this.noise(sigma);
    const aged = this.faults.level('oven-heater-ageing');
    return this.sensors.distort('oven', {
      'Zone1.Temperature': this.#measured() + n(0.3),
      'Zone2.Temperature': this.#zone2 + n(0.3),
      'Heater.Duty': Math.min(100, Math.max(0, this.#duty * 100 + n(0.8))),
      'Heater.Current': Math.max(0, 60 * this.#duty * (1 - 0.55 * aged) * this.traits.factor('heater') + n(0.5)),
      'Exhaust.Temperature': this.#exhaust + n(0.5),
      'Cooling.Out': this.#cooling + n(0.1),
    });
  }
}
