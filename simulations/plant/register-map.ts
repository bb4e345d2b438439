/**
 * Where every value of the simulated hall lives on the wire: the one table that the physics, the two servers, the
 * tests and the site file agree on.
 *
 * The pump skid and the press speak OPC UA (string node ids in namespace 1), the conveyor and the compressor Modbus TCP,
 * unit 1, 32-bit values with the high word first (`order: abcd`), the oven S7, data block 1.
 */

/** Codes of every machine's reserved `state` signal. */
export const machineStates = { stopped: 0, running: 1, changeover: 2, estop: 3 } as const;
export type MachineState = keyof typeof machineStates;

export interface OpcUaTag {
  /** Below the machine's folder: `Bearing.RMS`. The node id is `ns=1;s=<Machine>.<name>`. */
  readonly name: string;
  readonly type: 'Double' | 'Int32' | 'UInt32' | 'Boolean';
  readonly unit: string | undefined;
  /** How often the plant writes it. */
  readonly everyMs: number;
  readonly about: string;
}

/** The sensors of the pump skid. A recording brings its own columns in their place. */
export const pumpSensors = [
  { name: 'Accelerometer1RMS', type: 'Double', unit: 'g', everyMs: 1000, about: 'vibration at the drive end' },
  { name: 'Accelerometer2RMS', type: 'Double', unit: 'g', everyMs: 1000, about: 'vibration at the pump end' },
  { name: 'Current', type: 'Double', unit: 'A', everyMs: 1000, about: 'motor current' },
  { name: 'Pressure', type: 'Double', unit: 'bar', everyMs: 1000, about: 'loop pressure after the pump' },
  { name: 'Temperature', type: 'Double', unit: '°C', everyMs: 1000, about: 'motor body' },
  { name: 'Thermocouple', type: 'Double', unit: '°C', everyMs: 1000, about: 'fluid in the loop' },
  { name: 'Voltage', type: 'Double', unit: 'V', everyMs: 1000, about: 'motor voltage' },
  { name: 'VolumeFlowRateRMS', type: 'Double', unit: 'l/min', everyMs: 1000, about: 'flow through the loop' },
] as const satisfies readonly OpcUaTag[];
export type PumpSensor = (typeof pumpSensors)[number]['name'];

/** What every OPC UA machine has: its plant state and its lockout bit (LOTO switch; true = people are in there). */
export const machineTags = [
  { name: 'State', type: 'Int32', unit: undefined, everyMs: 500, about: '0 stopped, 1 running, 2 changeover, 3 estop' },
  { name: 'Lockout', type: 'Boolean', unit: undefined, everyMs: 500, about: 'locked out: nobody touches it' },
] as const satisfies readonly OpcUaTag[];

export const pressTags = [
  { name: 'Bearing.RMS', type: 'Double', unit: 'mm/s', everyMs: 100, about: 'vibration of the main bearing' },
  { name: 'Oil.Raw', type: 'Int32', unit: undefined, everyMs: 1000, about: 'oil pressure, 0..27648 = 0..10 bar' },
  { name: 'Oil.In', type: 'Double', unit: '°C', everyMs: 1000, about: 'oil before the press' },
  { name: 'Oil.Out', type: 'Double', unit: '°C', everyMs: 1000, about: 'oil after the press' },
  { name: 'Motor.Current', type: 'Double', unit: 'A', everyMs: 1000, about: 'main drive' },
  { name: 'Clamp.Force', type: 'Double', unit: 'kN', everyMs: 1000, about: 'clamp, on compressed air' },
  { name: 'Strokes', type: 'UInt32', unit: 'count', everyMs: 1000, about: 'strokes since start' },
] as const satisfies readonly OpcUaTag[];
export type PressTag = (typeof pressTags)[number]['name'];

export interface S7Tag {
  readonly name: string;
  readonly type: 'real' | 'int' | 'bool';
  /** As a site file writes it: `DB1,REAL4`. */
  readonly address: string;
  /** Byte in the block. */
  readonly offset: number;
  readonly unit: string | undefined;
  readonly about: string;
}

export const ovenBlock = 1;

/** The oven's controller is an S7: one data block. It has no tag for its mode, since the protocol tells that itself. */
export const ovenTags = [
  { name: 'Zone1.Temperature', type: 'real', address: 'DB1,REAL0', offset: 0, unit: '°C', about: 'held at 180 °C' },
  { name: 'Zone2.Temperature', type: 'real', address: 'DB1,REAL4', offset: 4, unit: '°C', about: 'not controlled' },
  { name: 'Heater.Duty', type: 'real', address: 'DB1,REAL8', offset: 8, unit: '%', about: 'what is asked of the rods' },
  { name: 'Heater.Current', type: 'real', address: 'DB1,REAL12', offset: 12, unit: 'A', about: 'what they draw' },
  { name: 'Exhaust.Temperature', type: 'real', address: 'DB1,REAL16', offset: 16, unit: '°C', about: 'in the stack' },
  {
    name: 'Cooling.Out',
    type: 'real',
    address: 'DB1,REAL20',
    offset: 20,
    unit: '°C',
    about: 'water after the bearings',
  },
] as const satisfies readonly S7Tag[];
export type OvenTag = (typeof ovenTags)[number]['name'];

export const ovenStateTags = [
  { name: 'State', type: 'int', address: 'DB1,INT24', offset: 24, unit: undefined, about: '0 stopped, 1 running …' },
  { name: 'Lockout', type: 'bool', address: 'DB1,X26.0', offset: 26, unit: undefined, about: 'locked out' },
] as const satisfies readonly S7Tag[];

/** Of a machine that has a controller of its own: whether its program runs. */
export const controllerTags = [
  { name: 'Plc.Mode', type: 'Int32', unit: undefined, everyMs: 500, about: '1 RUN, 0 STOP' },
] as const satisfies readonly OpcUaTag[];

/** Vibration above this is zone D for a machine of this size (ISO 10816-3, 7.1 mm/s): damage is near. */
export const bearingLimit = 7.1;

export const nodeId = (machine: 'Pump' | 'Press', tag: string): string => `ns=1;s=${machine}.${tag}`;

export interface ModbusRegister {
  readonly name: string;
  readonly table: 'coil' | 'discrete' | 'input' | 'holding';
  /** As a site file writes it, counted from one: `input:30001`. */
  readonly address: string;
  /** As it stands in the request, counted from zero. */
  readonly offset: number;
  readonly type: 'bool' | 'int16' | 'uint16' | 'uint32' | 'float32';
  readonly unit: string | undefined;
  readonly about: string;
}

export const modbusUnit = 1;

export const conveyorRegisters = [
  r('running', 'coil', 'coil:1', 0, 'bool', undefined, 'drive contactor'),
  r('lockout', 'discrete', 'discrete:1', 0, 'bool', undefined, 'locked out: nobody touches it'),
  r('state', 'holding', 'holding:40001', 0, 'uint16', undefined, '0 stopped, 1 running, 2 changeover, 3 estop'),
  r('speed', 'input', 'input:30001', 0, 'float32', 'm/s', 'belt speed'),
  r('current', 'input', 'input:30003', 2, 'float32', 'A', 'motor current'),
  r('temperature', 'input', 'input:30005', 4, 'int16', '°C', 'motor, tenths: scale 0..1000 -> 0..100 °C'),
  r('load', 'input', 'input:30006', 5, 'uint16', '%', 'belt load, 4–20 mA card: scale 0..27648 -> 0..100 %'),
  r('parts', 'input', 'input:30007', 6, 'uint32', 'count', 'parts carried since start'),
] as const satisfies readonly ModbusRegister[];
/** The compressor hangs on the conveyor's device, from the hundredth register on. */
export const compressorRegisters = [
  r('compressor-lockout', 'discrete', 'discrete:101', 100, 'bool', undefined, 'locked out: nobody touches it'),
  r('compressor-state', 'holding', 'holding:40101', 100, 'uint16', undefined, '0 stopped, 1 running …'),
  r('air-pressure', 'input', 'input:30101', 100, 'float32', 'bar', 'in the net, held at 7'),
  r('motor-speed', 'input', 'input:30103', 102, 'float32', '1/min', 'drive'),
  r('motor-current', 'input', 'input:30105', 104, 'float32', 'A', 'drive'),
  r('discharge-temperature', 'input', 'input:30107', 106, 'float32', '°C', 'air after the element'),
  r('intake', 'input', 'input:30109', 108, 'float32', '°C', 'air that it takes in: the hall’s'),
  r('vibration', 'input', 'input:30111', 110, 'float32', 'mm/s', 'at the element'),
] as const satisfies readonly ModbusRegister[];
export type CompressorRegister = (typeof compressorRegisters)[number]['name'];
export type ConveyorRegister = (typeof conveyorRegisters)[number]['name'];

function r<const N extends string>(
  name: N,
  table: ModbusRegister['table'],
  address: string,
  offset: number,
  type: ModbusRegister['type'],
  unit: string | undefined,
  about: string,
): ModbusRegister & { readonly name: N } {
  return { name, table, address, offset, type, unit, about };
}
