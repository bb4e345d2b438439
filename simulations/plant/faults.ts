/** What kind of thing goes wrong. The first group is physics, the second lies in a sensor, the third on the wire. */
export const faultKinds = [
  'wear',
  'imbalance',
  'leak',
  'cavitation',
  'blockage',
  'ageing',
  'slip',
  'stuck sensor',
  'sensor drift',
  'sensor noise',
  'quantisation',
  'PLC stop',
  'late answers',
  'wrong byte order',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export const machineNames = ['pump-skid', 'press', 'conveyor', 'oven', 'compressor'] as const;
export type MachineName = (typeof machineNames)[number];

export interface FaultEntry {
  readonly machine: MachineName;
  readonly kind: FaultKind;
  /** What an honest observer would see. */
  readonly about: string;
  /** From nothing to fully developed when it is switched on. */
  readonly rampSeconds: number;
  /** The signals of this machine that show it: the ground truth for whoever names a culprit. */
  readonly signals: readonly string[];
}

/** Everything that can be broken in the hall. */
export const faultCatalogue = {
  'press-bearing-wear': {
    machine: 'press',
    kind: 'wear',
    about: 'main bearing wears: Press.Bearing.RMS climbs over 7.1 mm/s, the drive draws more current',
    rampSeconds: 2,
    signals: ['Bearing.RMS', 'Motor.Current', 'Oil.Out'],
  },
  'press-oil-leak': {
    machine: 'press',
    kind: 'leak',
    about: 'oil pressure falls below 2 bar',
    rampSeconds: 5,
    signals: ['Oil.Raw'],
  },
  'press-oil-noise': {
    machine: 'press',
    kind: 'sensor noise',
    about: 'a loose terminal: the oil pressure reading jumps by half a bar while the oil does not',
    rampSeconds: 0,
    signals: ['Oil.Raw'],
  },
  'press-plc-stop': {
    machine: 'press',
    kind: 'PLC stop',
    about: 'the controller goes to STOP: the press stands, its values keep their last stamp and turn uncertain',
    rampSeconds: 0,
    signals: ['Plc.Mode'],
  },
  'press-late-answers': {
    machine: 'press',
    kind: 'late answers',
    about: 'the OPC UA server, the pump skid’s as well, takes up to three seconds for everything that it says',
    rampSeconds: 0,
    signals: [],
  },
  'pump-cavitation': {
    machine: 'pump-skid',
    kind: 'cavitation',
    about: 'vapour in the suction: both accelerometers rise, flow and pressure flutter and drop',
    rampSeconds: 5,
    signals: ['Accelerometer1RMS', 'Accelerometer2RMS', 'Current', 'Pressure', 'VolumeFlowRateRMS'],
  },
  'pump-valve-closed': {
    machine: 'pump-skid',
    kind: 'blockage',
    about: 'outlet valve closes: less flow, more pressure',
    rampSeconds: 10,
    signals: [
      'VolumeFlowRateRMS',
      'Pressure',
      'Current',
      'Accelerometer1RMS',
      'Accelerometer2RMS',
      'Temperature',
      'Thermocouple',
    ],
  },
  'pump-imbalance': {
    machine: 'pump-skid',
    kind: 'imbalance',
    about: 'the impeller loses a piece: vibration once per turn, most at the drive end',
    rampSeconds: 5,
    signals: ['Accelerometer1RMS', 'Accelerometer2RMS'],
  },
  'pump-bearing-wear': {
    machine: 'pump-skid',
    kind: 'wear',
    about: 'motor bearing wears: vibration at the drive end, a warmer motor, more current',
    rampSeconds: 5,
    signals: ['Accelerometer1RMS', 'Temperature', 'Current'],
  },
  'pump-seal-leak': {
    machine: 'pump-skid',
    kind: 'leak',
    about: 'the shaft seal leaks: flow and pressure sink together',
    rampSeconds: 5,
    signals: ['VolumeFlowRateRMS', 'Pressure'],
  },
  'pump-pressure-stuck': {
    machine: 'pump-skid',
    kind: 'stuck sensor',
    about: 'the pressure sensor repeats its last value',
    rampSeconds: 0,
    signals: ['Pressure'],
  },
  'pump-flow-drift': {
    machine: 'pump-skid',
    kind: 'sensor drift',
    about: 'the flow meter reads up to 8 l/min too low; the water flows as before',
    rampSeconds: 10,
    signals: ['VolumeFlowRateRMS'],
  },
  'conveyor-jam': {
    machine: 'conveyor',
    kind: 'blockage',
    about: 'belt stands under load: speed 0, current three times as high; the press runs out of blanks',
    rampSeconds: 1,
    signals: ['speed', 'current', 'temperature', 'load'],
  },
  'conveyor-bearing-wear': {
    machine: 'conveyor',
    kind: 'wear',
    about: 'a roller drags: the motor draws up to 2 A more and runs 25 °C warmer',
    rampSeconds: 10,
    signals: ['current', 'temperature'],
  },
  'conveyor-belt-slip': {
    machine: 'conveyor',
    kind: 'slip',
    about: 'the belt slips on its drum: up to a third slower at less current, and fuller',
    rampSeconds: 5,
    signals: ['speed', 'current', 'load'],
  },
  'conveyor-late-answers': {
    machine: 'conveyor',
    kind: 'late answers',
    about: 'the Modbus device takes up to three seconds for every answer',
    rampSeconds: 0,
    signals: [],
  },
  'conveyor-wrong-byte-order': {
    machine: 'conveyor',
    kind: 'wrong byte order',
    about: 'after a new firmware 32-bit values come low word first: numbers that are none, or absurd',
    rampSeconds: 0,
    signals: ['speed', 'current', 'parts'],
  },
  'oven-heater-ageing': {
    machine: 'oven',
    kind: 'ageing',
    about: 'heating rods lose power: the controller asks for more, and in the end the oven stays cold',
    rampSeconds: 10,
    signals: [
      'Heater.Duty',
      'Heater.Current',
      'Zone1.Temperature',
      'Zone2.Temperature',
      'Exhaust.Temperature',
      'Cooling.Out',
    ],
  },
  'oven-seal-leak': {
    machine: 'oven',
    kind: 'leak',
    about: 'the door seal leaks: more heating for the same heat, a colder zone 2, a colder stack',
    rampSeconds: 10,
    signals: ['Heater.Duty', 'Heater.Current', 'Zone2.Temperature', 'Exhaust.Temperature'],
  },
  'oven-thermocouple-drift': {
    machine: 'oven',
    kind: 'sensor drift',
    about: 'the controlling thermocouple reads up to 14 °C too low: it says 180 while everything else gets hotter',
    rampSeconds: 10,
    signals: ['Zone2.Temperature', 'Exhaust.Temperature', 'Heater.Duty', 'Heater.Current', 'Cooling.Out'],
  },
  'oven-late-answers': {
    machine: 'oven',
    kind: 'late answers',
    about: 'the S7 controller takes up to three seconds for every answer',
    rampSeconds: 0,
    signals: [],
  },
  'oven-plc-stop': {
    machine: 'oven',
    kind: 'PLC stop',
    about: 'the controller goes to STOP: heating ends, and what it shows stands still',
    rampSeconds: 0,
    signals: [],
  },
  'compressor-air-leak': {
    machine: 'compressor',
    kind: 'leak',
    about: 'the net leaks: the compressor turns faster, then pressure sinks and the press clamps weaker',
    rampSeconds: 10,
    signals: ['motor-speed', 'motor-current', 'discharge-temperature', 'vibration', 'air-pressure'],
  },
  'compressor-valve-wear': {
    machine: 'compressor',
    kind: 'wear',
    about: 'the discharge valve leaks back: hotter air, more turns for the same air',
    rampSeconds: 10,
    signals: ['discharge-temperature', 'motor-speed', 'motor-current', 'vibration', 'air-pressure'],
  },
  'compressor-imbalance': {
    machine: 'compressor',
    kind: 'imbalance',
    about: 'the rotor is out of balance: vibration rises from 2 to 8 mm/s',
    rampSeconds: 5,
    signals: ['vibration'],
  },
  'compressor-pressure-coarse': {
    machine: 'compressor',
    kind: 'quantisation',
    about: 'a card of eight bits in place of sixteen: the pressure moves in steps of a quarter bar',
    rampSeconds: 0,
    signals: ['air-pressure'],
  },
} as const satisfies Record<string, FaultEntry>;

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

  /** On, and exactly so far: for who has a ramp of his own. */
  hold(name: FaultName, level: number): void {
    this.set(name, true, level);
    this.#level.set(name, Math.min(1, Math.max(0, level)));
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
