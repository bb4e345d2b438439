import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BadRequest, openControlFace } from './control-face.ts';
import { type FaultName, faultCatalogue, faultNames, isFault, type MachineName } from './faults.ts';
import { Hall } from './hall.ts';
import { openModbusFace } from './modbus-face.ts';
import { openOpcUaFace } from './opcua-face.ts';
import { type Recording, readRecording } from './recording.ts';
import {
  bearingLimit,
  compressorRegisters,
  controllerTags,
  conveyorRegisters,
  type MachineState,
  machineStates,
  machineTags,
  modbusUnit,
  type OpcUaTag,
  ovenBlock,
  ovenStateTags,
  ovenTags,
  pressTags,
  pumpSensors,
} from './register-map.ts';
import { openS7Face } from './s7-face.ts';
import { type TruthEntry, TruthLog } from './truth-log.ts';

export interface PlantOptions {
  readonly seed?: number | string;
  readonly host?: string;
  /** 0, the default, takes a free port. A test that restarts a PLC gives the old one. */
  readonly opcuaPort?: number;
  readonly modbusPort?: number;
  readonly s7Port?: number;
  /** Keys, certificates and the truth log. Without one a temporary folder is made, and removed at the end. */
  readonly folder?: string;
  /** Token of the control face; drawn when absent. */
  readonly token?: string;
  /** Also offer the signed and the encrypted OPC UA endpoint. */
  readonly secure?: boolean;
  /** OPC UA logins. With any, nobody gets in anonymously. */
  readonly users?: Readonly<Record<string, string>>;
  /** How often the simulated pump's sensors are written, ms. */
  readonly pumpIntervalMs?: number;
  readonly replay?: {
    readonly file: string;
    /** Rows per second. */
    readonly speed: number;
    /** `subscribed`: one second after a client first monitors a pump sensor; `ordered`: by the control face. */
    readonly start?: 'now' | 'subscribed' | 'ordered';
  };
}

export interface Plant {
  readonly opcua: string;
  readonly modbus: { readonly host: string; readonly port: number; readonly unit: number };
  readonly s7: { readonly host: string; readonly port: number };
  readonly control: { readonly url: string; readonly token: string };
  readonly truthFile: string;
  setFault(name: string, on: boolean, severity?: number): void;
  setMachine(name: string, change: { state?: string; lockout?: boolean }): void;
  startReplay(): void;
  truth(since?: number): readonly TruthEntry[];
  stop(): Promise<void>;
}

const tickMs = 20;

/**
 * Starts the hall: physics in real time, a real OPC UA server for pump skid and press, a real Modbus TCP server for
 * conveyor and compressor, a real S7 controller for the oven, and the control face. Resolves when all of them answer.
 */
export async function startPlant(options: PlantOptions = {}): Promise<Plant> {
  const host = options.host ?? '127.0.0.1';
  const speed = options.replay?.speed ?? 20;
  if (!(speed > 0 && speed <= 1000)) throw new Error(`replay speed ${speed}: between 0 and 1000 rows per second`);
  const recording: Recording | undefined = options.replay && readRecording(options.replay.file);
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'millwright-plant-'));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const truth = new TruthLog(join(folder, 'truth.jsonl'));
  const hall = new Hall(options.seed ?? 1);
  const lateMs = (fault: FaultName): number => 3_000 * hall.faults.level(fault);
  const machines = {
    'pump-skid': hall.pump,
    press: hall.press,
    conveyor: hall.conveyor,
    oven: hall.oven,
    compressor: hall.compressor,
  } satisfies Record<MachineName, unknown>;
  const pumpTags: readonly OpcUaTag[] = recording
    ? withRecorded(recording)
    : pumpSensors.map((tag) => ({ ...tag, everyMs: options.pumpIntervalMs ?? tag.everyMs }));
  const sensorIds = new Set(pumpTags.map((tag) => `ns=1;s=Pump.${tag.name}`));

  let replayFrom: number | undefined;
  let replayed = 0;
  const startReplay = (): void => {
    if (recording === undefined || replayFrom !== undefined) return;
    replayFrom = performance.now();
    truth.add('replay-started', { rows: recording.rows.length, speed, columns: recording.tags.join(' ') });
  };
  let countdown: NodeJS.Timeout | undefined;
  const onMonitored = (id: string): void => {
    if ((options.replay?.start ?? 'subscribed') !== 'subscribed' || !sensorIds.has(id)) return;
    // A second for the other tags of the same subscription, and for who else is about to subscribe.
    countdown ??= setTimeout(startReplay, 1000);
  };

  const opcua = await openOpcUaFace({
    host,
    port: options.opcuaPort ?? 0,
    folder: join(folder, 'pki'),
    secure: options.secure ?? false,
    users: new Map(Object.entries(options.users ?? {})),
    machines: {
      Pump: [...pumpTags, ...machineTags],
      Press: [...pressTags, ...machineTags, ...controllerTags],
    },
    delayMs: () => lateMs('press-late-answers'),
    onMonitored,
  });
  const modbus = await openModbusFace({
    host,
    port: options.modbusPort ?? 0,
    unit: modbusUnit,
    registers: [...conveyorRegisters, ...compressorRegisters],
    manner: () => ({
      delayMs: lateMs('conveyor-late-answers'),
      lowWordFirst: hall.faults.isOn('conveyor-wrong-byte-order'),
    }),
  });
  const s7 = await openS7Face({
    host,
    port: options.s7Port ?? 0,
    block: ovenBlock,
    tags: [...ovenTags, ...ovenStateTags],
  });

  // ---- values onto the wire --------------------------------------------------------------------------------------
  let wear = false;
  /** What a controller in STOP shows stands still, with its last stamp. */
  const pressHalted = (): boolean => hall.faults.isOn('press-plc-stop');
  const writeRow = (index: number): void => {
    const row = recording?.rows[index];
    if (recording === undefined || row === undefined) return;
    const at = new Date(row.at);
    recording.tags.forEach((tag, i) => {
      opcua.write('Pump', tag, row.values[i]!, at);
    });
    const before = recording.rows[index - 1]?.labels;
    for (const [label, value] of Object.entries(row.labels)) {
      if (before === undefined || before[label] === value) continue;
      truth.add('label-changed', { label, value, row: index, recordTime: at.toISOString() });
    }
  };
  const publishers = periodic([
    ...(recording
      ? []
      : [
          {
            everyMs: options.pumpIntervalMs ?? 1000,
            run: (at: Date) => {
              for (const [tag, value] of Object.entries(hall.pump.read())) opcua.write('Pump', tag, value, at);
            },
          },
        ]),
    {
      everyMs: 100,
      run: (at: Date) => {
        if (pressHalted()) return;
        const rms = hall.press.read()['Bearing.RMS'];
        opcua.write('Press', 'Bearing.RMS', rms, at);
        if (rms > bearingLimit && !wear) truth.add('limit-crossed', { tag: 'Press.Bearing.RMS', value: rms }, at);
        // Re-armed well below the limit, so that noise around it is one crossing.
        wear = rms > bearingLimit || (wear && rms > bearingLimit * 0.8);
      },
    },
    {
      everyMs: 200,
      run: () => {
        for (const machine of [hall.conveyor, hall.compressor]) {
          for (const [name, value] of Object.entries(machine.read())) modbus.write(name, value);
        }
      },
    },
    {
      everyMs: 200,
      run: () => {
        s7.delayMs = lateMs('oven-late-answers');
        s7.mode = hall.faults.isOn('oven-plc-stop') ? 'stop' : 'run';
        if (s7.mode === 'stop') return;
        for (const [name, value] of Object.entries(hall.oven.read())) s7.write(name, value);
        s7.write('State', machineStates[hall.oven.state]);
        s7.write('Lockout', hall.oven.lockout ? 1 : 0);
      },
    },
    {
      everyMs: 500,
      run: (at: Date) => {
        for (const [folderName, machine] of [
          ['Pump', hall.pump],
          ['Press', hall.press],
        ] as const) {
          if (folderName === 'Press') {
            const stopped = pressHalted();
            opcua.write(folderName, 'Plc.Mode', stopped ? 0 : 1, at);
            if (stopped) {
              opcua.standStill(folderName, ['Plc.Mode']);
              continue;
            }
          }
          opcua.write(folderName, 'State', machineStates[machine.state], at);
          opcua.write(folderName, 'Lockout', machine.lockout ? 1 : 0, at);
        }
      },
    },
    {
      everyMs: 1000,
      run: (at: Date) => {
        if (!pressHalted()) {
          for (const [tag, value] of Object.entries(hall.press.read())) {
            if (tag !== 'Bearing.RMS') opcua.write('Press', tag, value, at);
          }
        }
      },
    },
  ]);
  // Before it starts, a replay shows its first row.
  writeRow(0);

  let last = performance.now();
  const clock = setInterval(() => {
    const now = performance.now();
    // After a long pause (a suspended machine) the hall goes on from where it was.
    let elapsed = Math.min(1000, now - last);
    last = now;
    for (; elapsed > 0; elapsed -= 100) hall.step(Math.min(100, elapsed) / 1000);
    publishers(now);
    if (recording === undefined || replayFrom === undefined) return;
    const due = Math.min(recording.rows.length - 1, Math.floor(((now - replayFrom) * speed) / 1000));
    while (replayed < due) writeRow(++replayed);
    if (replayed === recording.rows.length - 1 && replayFrom !== Number.POSITIVE_INFINITY) {
      replayFrom = Number.POSITIVE_INFINITY;
      truth.add('replay-ended', { rows: recording.rows.length });
    }
  }, tickMs);

  // ---- orders ----------------------------------------------------------------------------------------------------
  const setFault = (name: string, on: boolean, severity = 1): void => {
    if (!isFault(name)) throw new BadRequest(`no fault "${name}": one of ${faultNames.join(', ')}`);
    hall.faults.set(name, on, severity);
    const { machine, kind, signals } = faultCatalogue[name];
    truth.add(on ? 'fault-on' : 'fault-off', { fault: name, machine, kind, severity, signals: signals.join(' ') });
  };
  const setMachine = (name: string, change: { state?: string; lockout?: boolean }): void => {
    if (!Object.hasOwn(machines, name)) throw new BadRequest(`no machine "${name}"`);
    const machine = machines[name as keyof typeof machines];
    if (change.state !== undefined) {
      if (!Object.hasOwn(machineStates, change.state)) throw new BadRequest(`no state "${change.state}"`);
      machine.state = change.state as MachineState;
    }
    if (change.lockout !== undefined) machine.lockout = change.lockout;
    truth.add('machine-set', { machine: name, state: machine.state, lockout: machine.lockout });
  };
  const status = () => ({
    machines: Object.fromEntries(
      Object.entries(machines).map(([name, machine]) => [name, { state: machine.state, lockout: machine.lockout }]),
    ),
    faults: faultNames.map((name) => ({
      name,
      ...faultCatalogue[name],
      on: hall.faults.isOn(name),
      level: hall.faults.level(name),
    })),
    replay: recording && {
      state: replayFrom === undefined ? 'waiting' : replayFrom === Number.POSITIVE_INFINITY ? 'ended' : 'playing',
      row: replayed,
      rows: recording.rows.length,
      speed,
      recordTime: new Date(recording.rows[replayed]!.at).toISOString(),
    },
  });
  const token = options.token ?? randomBytes(24).toString('base64url');
  const field = (body: unknown, key: string): unknown =>
    typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[key] : undefined;
  const control = await openControlFace(token, {
    'GET /v1/status': status,
    'GET /v1/truth': (_body, query) => truth.since(Number(query.get('since') ?? 0)),
    'POST /v1/faults/*': (body, query) => {
      const on = field(body, 'on');
      const severity = field(body, 'severity') ?? 1;
      if (typeof on !== 'boolean') throw new BadRequest('"on" is true or false');
      if (typeof severity !== 'number' || !(severity >= 0 && severity <= 1))
        throw new BadRequest('"severity" is 0 to 1');
      setFault(query.get('name') ?? '', on, severity);
      return status();
    },
    'POST /v1/machines/*': (body, query) => {
      const state = field(body, 'state');
      const lockout = field(body, 'lockout');
      setMachine(query.get('name') ?? '', {
        ...(typeof state === 'string' ? { state } : {}),
        ...(typeof lockout === 'boolean' ? { lockout } : {}),
      });
      return status();
    },
    'POST /v1/replay/start': () => {
      if (recording === undefined) throw new BadRequest('this plant plays no recording');
      startReplay();
      return status();
    },
  });
  truth.add('plant-started', {
    opcua: opcua.endpoint,
    modbus: `${modbus.host}:${modbus.port}`,
    s7: `${s7.host}:${s7.port}`,
  });
  if (options.replay?.start === 'now') startReplay();

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    clearInterval(clock);
    clearTimeout(countdown);
    await Promise.allSettled([control.stop(), modbus.stop(), opcua.stop(), s7.stop()]);
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  };
  return {
    opcua: opcua.endpoint,
    modbus: { host: modbus.host, port: modbus.port, unit: modbusUnit },
    s7: { host: s7.host, port: s7.port },
    control: { url: control.url, token },
    truthFile: truth.file,
    setFault,
    setMachine,
    startReplay,
    truth: (since = 0) => truth.since(since),
    stop: () => (stopping ??= stop()),
  };
}

/** The recording's columns, and the rig's other sensors as tags that stay without a value. */
function withRecorded(recording: Recording): readonly OpcUaTag[] {
  const recorded = recording.tags.map((name): OpcUaTag => {
    const known = pumpSensors.find((tag) => tag.name === name);
    return known ?? { name, type: 'Double', unit: undefined, everyMs: 1000, about: `recorded column ${name}` };
  });
  return [...recorded, ...pumpSensors.filter((tag) => !recording.tags.includes(tag.name))];
}

/** Runs each job when its period is over, without drift, and at most once per call. */
function periodic(jobs: readonly { readonly everyMs: number; readonly run: (at: Date) => void }[]) {
  const due = jobs.map(() => 0);
  return (now: number): void => {
    const at = new Date();
    jobs.forEach((job, i) => {
      if (now < due[i]!) return;
      due[i] = Math.max(due[i]! + job.everyMs, now + job.everyMs / 2);
      job.run(at);
    });
  };
}
