import type { MachineName } from '../faults.ts';
import type { Hall } from '../hall.ts';

/** All readings of a hall at one time, by machine. */
export type HallReadings = Readonly<Record<MachineName, Readonly<Record<string, number>>>>;

export const readHall = (hall: Hall): HallReadings => ({
  'pump-skid': hall.pump.read(),
  press: hall.press.read(),
  conveyor: hall.conveyor.read(),
  oven: hall.oven.read(),
  compressor: hall.compressor.read(),
});

/**
 * What each model eats: signals as they are, and signals derived from two (what a site file says with `formula`). A
 * temperature that follows the weather is taken above the air that the compressor takes in; what depends on how much the
 * line makes gets the belt's load or the press's current beside it, so that their relation is what is learnt.
 */
export const modelInputs: Readonly<Record<MachineName, Readonly<Record<string, (r: HallReadings) => number>>>> = {
  'pump-skid': {
    'vibration-drive': (r) => r['pump-skid']['Accelerometer1RMS']!,
    'vibration-pump': (r) => r['pump-skid']['Accelerometer2RMS']!,
    current: (r) => r['pump-skid']['Current']!,
    pressure: (r) => r['pump-skid']['Pressure']!,
    flow: (r) => r['pump-skid']['VolumeFlowRateRMS']!,
    'motor-rise': (r) => r['pump-skid']['Temperature']! - r.compressor['intake']!,
    'water-rise': (r) => r['pump-skid']['Thermocouple']! - r.compressor['intake']!,
  },
  press: {
    bearing: (r) => r.press['Bearing.RMS']!,
    oil: (r) => r.press['Oil.Raw']! / 2_764.8,
    'oil-heat': (r) => r.press['Oil.Out']! - r.press['Oil.In']!,
    current: (r) => r.press['Motor.Current']!,
    clamp: (r) => r.press['Clamp.Force']!,
  },
  conveyor: {
    speed: (r) => r.conveyor['speed']!,
    current: (r) => r.conveyor['current']!,
    rise: (r) => r.conveyor['temperature']! / 10 - r.compressor['intake']!,
    load: (r) => r.conveyor['load']! / 276.48,
  },
  oven: {
    'zone-1': (r) => r.oven['Zone1.Temperature']!,
    'zone-2-share': (r) => aboveAir(r, 'Zone2.Temperature') / aboveAir(r, 'Zone1.Temperature'),
    'exhaust-share': (r) => aboveAir(r, 'Exhaust.Temperature') / aboveAir(r, 'Zone1.Temperature'),
    'duty-per-rise': (r) => r.oven['Heater.Duty']! / aboveAir(r, 'Zone1.Temperature'),
    'current-per-duty': (r) => r.oven['Heater.Current']! / Math.max(1, r.oven['Heater.Duty']!),
    'cooling-rise': (r) => aboveAir(r, 'Cooling.Out'),
    belt: (r) => r.conveyor['load']! / 276.48,
  },
  compressor: {
    pressure: (r) => r.compressor['air-pressure']!,
    speed: (r) => r.compressor['motor-speed']!,
    current: (r) => r.compressor['motor-current']!,
    rise: (r) => r.compressor['discharge-temperature']! - r.compressor['intake']!,
    vibration: (r) => r.compressor['vibration']!,
    press: (r) => r.press['Motor.Current']!,
  },
};

const aboveAir = (r: HallReadings, tag: string): number => r.oven[tag]! - r.compressor['intake']!;
