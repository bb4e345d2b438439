/** Everything that can be broken in the hall, each with what an honest observer would see. */
export const faultCatalogue = {
  'press-bearing-wear': {
    machine: 'press',
    about: 'main bearing wears: Press.Bearing.RMS climbs over 7.1 mm/s, the drive draws more current',
    rampSeconds: 2,
  },
  'press-oil-leak': { machine: 'press', about: 'oil pressure falls below 2 bar', rampSeconds: 5 },
  'pump-cavitation': {
    machine: 'pump-skid',
    about: 'vapour in the suction: both accelerometers rise, flow and pressure flutter and drop',
    rampSeconds: 5,
  },
  'pump-valve-closed': {
    machine: 'pump-skid',
    about: 'outlet valve closes: less flow, more pressure',
    rampSeconds: 10,
  },
  'pump-pressure-stuck': { machine: 'pump-skid', about: 'the pressure sensor repeats its last value', rampSeconds: 0 },
  'conveyor-jam': {
    machine: 'conveyor',
    about: 'belt stands under load: speed 0, current three times as high',
    rampSeconds: 1,
  },
} as const satisfies Record<string, { machine: string; about: string; rampSeconds: number }>;

export type FaultName = keyof typeof faultCatalogue;
export const faultNames = Object.keys(faultCatalogue) as FaultName[];
export const isFault = (name: string): name is FaultName => Object.hasOwn(faultCatalogue, name);

/** How far each fault has come. A fault grows over its ramp while it is on, and is repaired at once when off. */
export class Faults {
  readonly #on = new Map<FaultName, number>();
  readonly #level = new Map<FaultName, number>();

  /** `severity` 0..1 is where the ramp ends. */
  set(name: FaultName, on: boolean, severity = 1): void {
    if (on) this.#on.set(name, Math.min(1, Math.max(0, severity)));
    else {
      this.#on.delete(name);
      this.#level.delete(name);
    }
  }

  isOn(name: FaultName): boolean {
    return this.#on.has(name);
  }

  /** 0 healthy .. 1 fully developed. */
  level(name: FaultName): number {
    return this.#level.get(name) ?? 0;
  }

  step(dt: number): void {
    for (const [name, severity] of this.#on) {
      const ramp = faultCatalogue[name].rampSeconds;
      const grown = ramp === 0 ? severity : this.level(name) + (severity * dt) / ramp;
      this.#level.set(name, Math.min(severity, grown));
    }
  }
}
