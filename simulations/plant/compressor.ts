import { lag, Machine } from './machine.ts';
import type { CompressorRegister } from './register-map.ts';
import { machineStates } from './register-map.ts';
import { nominal, type Surroundings } from './surroundings.ts';

/** What the compressor holds in the net, bar. */
export const airSetpoint = 7;

/**
 * A screw compressor whose drive holds the net at 7 bar: it turns as fast as air is used. When it cannot turn faster,
 * pressure sinks, and the press clamps weaker.
 */
export class Compressor extends Machine {
  static readonly properties = ['element', 'drive', 'heat', 'vibration', 'net'] as const;
  #speed = 0.6;
  #pressure = airSetpoint;
  #discharge = 78;
  #intake = 25;

  /** Pressure in the net, bar. */
  get pressure(): number {
    return this.#pressure;
  }

  /** `strokesPerSecond` of the press: each fills the clamp once. */
  step(dt: number, strokesPerSecond: number, { air, load }: Surroundings = nominal): void {
    const leak = this.faults.level('compressor-air-leak');
    const valve = this.faults.level('compressor-valve-wear');
    const running = this.state === 'running';
    // In shares of what a new element gives at full speed.
    const demand = (0.2 * load + 0.7 * strokesPerSecond) * this.traits.factor('net') + 0.6 * leak;
    const gives = this.traits.factor('element') * (1 - 0.35 * valve);
    this.#speed = lag(this.#speed, running ? Math.min(1, Math.max(0.2, demand / gives)) : 0, dt, 5);
    // The controller lets the pressure sink a little as it opens up; what it cannot deliver is missing for good.
    const short = Math.max(0, demand - this.#speed * gives);
    this.#pressure = lag(
      this.#pressure,
      running ? Math.max(0, airSetpoint - 0.3 * this.#speed - 8 * short) : 0,
      dt,
      30,
    );
    const heat = (20 + 55 * this.#speed) * this.traits.factor('heat') + 35 * valve;
    this.#discharge = lag(this.#discharge, air + (running ? heat : 0), dt, 200);
    this.#intake = lag(this.#intake, air, dt, 60);
  }

  read(): Record<CompressorRegister, number> {
    const n = (sigma: number) => this.noise(sigma);
    const imbalance = this.faults.level('compressor-imbalance');
    const s = this.#speed;
    return this.sensors.distort('compressor', {
      'compressor-state': machineStates[this.state],
      'compressor-lockout': this.lockout ? 1 : 0,
      'air-pressure': Math.max(0, this.#pressure + n(0.03)),
      'motor-speed': Math.max(0, s * 3000 + n(8)),
      'motor-current': Math.max(0, (8 + 52 * s * this.traits.factor('drive')) * (s > 0.05 ? 1 : 0) + n(0.6)),
      'discharge-temperature': this.#discharge + n(0.3),
      intake: this.#intake + n(0.2),
      vibration: Math.max(0, s * (2.6 * this.traits.factor('vibration') + 7 * imbalance) + 0.4 + n(0.1)),
    });
  }
}
