import type * as modbusSerial from 'modbus-serial';
import type { SerialLine } from '../../driver/bindings.ts';
import { pause } from './keep-connected.ts';

/** All that is used of the library: four ways to read. */
export interface RegisterReader {
  readCoils(offset: number, length: number): Promise<{ readonly data: readonly boolean[] }>;
  readDiscreteInputs(offset: number, length: number): Promise<{ readonly data: readonly boolean[] }>;
  readInputRegisters(offset: number, length: number): Promise<{ readonly data: readonly number[] }>;
  readHoldingRegisters(offset: number, length: number): Promise<{ readonly data: readonly number[] }>;
}

/** One serial port of this process, shared by all devices on its bus: RS-485 bears one talker at a time. */
interface OpenLine {
  readonly client: modbusSerial.default;
  users: number;
  last: Promise<unknown>;
  readonly gone: Promise<string>;
}

const lines = new Map<string, Promise<OpenLine>>();

/** A device's share of a line. */
export interface LineShare {
  readonly reader: RegisterReader;
  readonly gone: Promise<string>;
  close(): Promise<void>;
}

/**
 * Opens the port, or joins those who have it open. Requests of all devices go one after another, each followed by
 * `pauseMs`: the bus has to be silent for three and a half characters between frames, and old devices for longer.
 */
export async function joinLine(line: SerialLine, unit: number, requestMs: number, pauseMs: number): Promise<LineShare> {
  const key = line.path;
  let opening = lines.get(key);
  if (opening === undefined) {
    opening = open(line);
    lines.set(key, opening);
    opening.then(
      ({ gone }) => gone.then(() => void (lines.get(key) === opening && lines.delete(key))),
      () => void (lines.get(key) === opening && lines.delete(key)),
    );
  }
  const shared = await opening;
  shared.users++;
  let closed = false;
  const turn = <T>(request: () => Promise<T>): Promise<T> => {
    const run = async () => {
      if (closed) throw new Error('stopped');
      shared.client.setID(unit);
      shared.client.setTimeout(requestMs);
      try {
        return await request();
      } finally {
        await pause(pauseMs, new AbortController().signal);
      }
    };
    const mine = shared.last.then(run, run);
    shared.last = mine.catch(() => {});
    return mine;
  };
  const { client } = shared;
  return {
    reader: {
      readCoils: (offset, length) => turn(() => client.readCoils(offset, length)),
      readDiscreteInputs: (offset, length) => turn(() => client.readDiscreteInputs(offset, length)),
      readInputRegisters: (offset, length) => turn(() => client.readInputRegisters(offset, length)),
      readHoldingRegisters: (offset, length) => turn(() => client.readHoldingRegisters(offset, length)),
    },
    gone: shared.gone,
    close: async () => {
      if (closed) return;
      closed = true;
      if (--shared.users > 0) return;
      if (lines.get(key) === opening) lines.delete(key);
      await new Promise<void>((resolve) => shared.client.close(() => resolve()));
    },
  };
}

async function open({ path, baud, parity, stopBits }: SerialLine): Promise<OpenLine> {
  const modbus = await import('modbus-serial');
  const client = new modbus.default.default();
  client.on('error', () => {});
  const gone = new Promise<string>((resolve) =>
    client.on('close', () => resolve(`the serial line ${path} was closed`)),
  );
  try {
    await client.connectRTUBuffered(path, { baudRate: baud, parity, stopBits, dataBits: 8 });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(
      /permission/i.test(text)
        ? `${path} may not be opened: put the agent's user into the group dialout`
        : /lock/i.test(text)
          ? `${path} is in use by another program`
          : /no such file|cannot open/i.test(text)
            ? `there is no ${path}: is the adapter plugged in?`
            : `${path}: ${text}`,
      { cause: error },
    );
  }
  return { client, users: 0, last: Promise.resolve(), gone };
}
