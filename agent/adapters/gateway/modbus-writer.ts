import type { Connection } from '../../driver/bindings.ts';
import { dial } from '../plc/dial.ts';
import { bounded, reasonOf } from '../plc/keep-connected.ts';
import { encodeWords, parseRegister } from '../plc/register-block.ts';
import { sourceTiming } from '../plc/source.ts';
import type { DeviceWrite, DeviceWriter, WriterOptions, WriteSession } from './device-writer.ts';
import type { ModbusClient } from './lent-connection.ts';
import { blockWords, isWord, type Mark, markWords, maxCommandWords, readMark } from './token-block.ts';

type ModbusConnection = Extract<Connection, { kind: 'modbus' }>;

type Frame =
  | { readonly code: 5; readonly offset: number; readonly on: boolean }
  | { readonly code: 6; readonly offset: number; readonly word: number }
  | { readonly code: 16; readonly offset: number; readonly words: (mark: Mark) => number[] };

/**
 * Modbus TCP: a coil by function 5, a register by 6, a longer value or a block with token by 16, each in one request. An
 * exception answer is a certain "no"; anything else that is no answer leaves it open whether the device did it.
 */
export class ModbusWriter implements DeviceWriter {
  readonly #options: WriterOptions<ModbusConnection>;

  constructor(options: WriterOptions<ModbusConnection>) {
    this.#options = options;
  }

  objection(write: DeviceWrite): string | undefined {
    if (this.#options.connection.serial !== undefined) return 'nothing is written over a serial line';
    const frame = frameOf(write, this.#options.connection.order);
    return typeof frame === 'string' ? frame : undefined;
  }

  async open(write: DeviceWrite, signal: AbortSignal) {
    const { connection } = this.#options;
    const timing = { ...sourceTiming, ...this.#options.timing };
    if (connection.serial !== undefined) throw new Error('nothing is written over a serial line');
    const frame = frameOf(write, connection.order);
    if (typeof frame === 'string') throw new Error(frame);
    if (this.#options.lent !== undefined) {
      const lent = this.#options.lent();
      if (lent?.kind !== 'modbus') throw new Error('the device is not connected');
      return sessionOn(lent.client, frame, write, async () => {});
    }
    const modbus = await import('modbus-serial');
    const socket = await dial(connection.host, connection.port, timing.connectMs, signal);
    const client = new modbus.default.default();
    socket.on('error', () => {});
    client.on('error', () => {});
    await client.linkTCP(socket, { port: connection.port });
    client.setID(connection.unit);
    client.setTimeout(timing.requestMs);
    const close = () => bounded(new Promise<void>((resolve) => socket.once('close', () => resolve()).destroy()), 1_000);
    return sessionOn(client, frame, write, close);
  }
}

const sessionOn = (
  client: ModbusClient,
  frame: Frame,
  write: DeviceWrite,
  close: () => Promise<void>,
): WriteSession => ({
  close,
  async send(mark) {
    try {
      if (frame.code === 5) await client.writeCoil(frame.offset, frame.on);
      else if (frame.code === 6) await client.writeRegister(frame.offset, frame.word);
      else await client.writeRegisters(frame.offset, frame.words(mark));
      return { kind: 'taken' };
    } catch (error) {
      const code = (error as { modbusCode?: unknown } | null)?.modbusCode;
      return { kind: typeof code === 'number' ? 'refused' : 'unknown', reason: reasonOf(error) };
    }
  },
  async shown() {
    const place = write.kind === 'block' ? placeOf(write.shows, markWords) : undefined;
    if (place === undefined) return undefined;
    const { table, offset } = place;
    const answer =
      table === 'input'
        ? await client.readInputRegisters(offset, markWords)
        : await client.readHoldingRegisters(offset, markWords);
    return readMark(answer.data);
  },
});

/** A string: why there is none. */
function frameOf(write: DeviceWrite, order: ModbusConnection['order']): Frame | string {
  if (write.kind === 'block') {
    const { address, shows, command } = write;
    const place = placeOf(address, markWords + command.length);
    if (place?.table !== 'holding') return `${address} is no place for a block: holding:40001 is expected`;
    if (placeOf(shows, markWords) === undefined) return `${shows} is no place for six words of registers`;
    if (command.length < 1 || command.length > maxCommandWords || !command.every(isWord)) {
      return `a command has 1 to ${maxCommandWords} words of 0 to 65535`;
    }
    return { code: 16, offset: place.offset, words: (mark) => blockWords(mark, command) };
  }
  const { address, type, value } = write;
  const register = parseRegister({ address, type });
  if (register === undefined) return `${address} is no Modbus address`;
  const { table, offset } = register;
  if (table === 'coil') {
    return value === 0 || value === 1 ? { code: 5, offset, on: value === 1 } : `a coil is 0 or 1, not ${value}`;
  }
  if (table !== 'holding') return `${address} can only be read`;
  const words = encodeWords(type, value, order);
  if (words === undefined) return `${value} is no ${type}`;
  return words.length === 1 ? { code: 6, offset, word: words[0]! } : { code: 16, offset, words: () => words };
}

/** A run of registers, by the address of its first. */
function placeOf(address: string, length: number) {
  const first = parseRegister({ address, type: 'uint16' });
  if (first === undefined || (first.table !== 'holding' && first.table !== 'input')) return undefined;
  return first.offset + length > 65_536 ? undefined : first;
}
