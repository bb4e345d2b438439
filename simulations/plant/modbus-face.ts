import type { Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ServerTCP } from 'modbus-serial';
import type { ModbusRegister } from './register-map.ts';
import type { TokenLadder } from './token-ladder.ts';

export interface ModbusFaceOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly unit: number;
  readonly registers: readonly ModbusRegister[];
  /** Names of coils and holding registers that clients may write. */
  readonly writable?: readonly string[];
  /** How it answers at the moment: a device that is overloaded, or one whose firmware changed its mind. Default: well. */
  readonly manner?: () => { readonly delayMs: number; readonly lowWordFirst: boolean };
  /** Called with every write that was taken, in its order. */
  readonly onWrite?: (offset: number, words: readonly number[]) => void;
  /** A program that compares tokens: the block that it reads, as holding registers from `at`, and its mark from `shows`. */
  readonly ladder?: {
    readonly program: TokenLadder;
    readonly at: number;
    readonly words: number;
    readonly shows: number;
  };
}

export interface ModbusFace {
  readonly host: string;
  readonly port: number;
  /** Writes one register (or pair) as the device's own program would. */
  write(name: string, value: number): void;
  /** What stands there now. */
  read(name: string): number;
  stop(): Promise<void>;
}

/** What modbus-serial turns into exception 2, "illegal data address". */
const illegalAddress = Object.assign(new Error('illegal data address'), { modbusErrorCode: 2 });

/**
 * A real Modbus TCP server (modbus-serial) over the table. Clients can read; they can write what is named `writable`, and
 * the block of a ladder, all of it in one request.
 */
export async function openModbusFace(options: ModbusFaceOptions): Promise<ModbusFace> {
  const words = { input: new Map<number, number>(), holding: new Map<number, number>() };
  const bits = { coil: new Map<number, boolean>(), discrete: new Map<number, boolean>() };
  const scratch = new DataView(new ArrayBuffer(4));

  const write = (register: ModbusRegister, value: number): void => {
    const { table, offset } = register;
    if (table === 'coil' || table === 'discrete') {
      bits[table].set(offset, value !== 0);
      return;
    }
    if (register.type === 'float32' || register.type === 'uint32') {
      if (register.type === 'float32') scratch.setFloat32(0, value);
      else scratch.setUint32(0, value);
      words[table].set(offset, scratch.getUint16(0));
      words[table].set(offset + 1, scratch.getUint16(2));
      return;
    }
    words[table].set(offset, value & 0xffff);
  };
  for (const register of options.registers) write(register, 0);

  /** For each word of a 32-bit value, the other one. */
  const partner = new Map(
    options.registers.flatMap(({ table, offset, type }) =>
      type === 'float32' || type === 'uint32'
        ? [
            [`${table} ${offset}`, offset + 1],
            [`${table} ${offset + 1}`, offset],
          ]
        : [],
    ) as [string, number][],
  );
  /** Whatever is asked is answered, in the manner of the moment. */
  const answer = <T>(value: T | undefined): T | Promise<T> => {
    if (value === undefined) throw illegalAddress;
    const delayMs = options.manner?.().delayMs ?? 0;
    return delayMs > 0 ? sleep(delayMs, value, { ref: false }) : value;
  };
  const word = (table: 'input' | 'holding') => (address: number) => {
    const swapped = options.manner?.().lowWordFirst === true;
    return answer(words[table].get(swapped ? (partner.get(`${table} ${address}`) ?? address) : address));
  };
  const bit = (table: 'coil' | 'discrete') => (address: number) => answer(bits[table].get(address));
  const open = new Set(
    options.registers
      .filter(({ name }) => options.writable?.includes(name))
      .flatMap(({ table, offset, type }) =>
        (type === 'float32' || type === 'uint32' ? [offset, offset + 1] : [offset]).map((at) => `${table} ${at}`),
      ),
  );
  const { ladder } = options;
  if (ladder !== undefined) {
    for (let i = 0; i < ladder.words; i++) words.holding.set(ladder.at + i, 0);
    for (let i = 0; i < 6; i++) words.holding.set(ladder.shows + i, ladder.program.mark[i] ?? 0);
  }
  /** All of one request or nothing of it. */
  const take = (offset: number, values: readonly number[]): void => {
    const inBlock = ladder !== undefined && offset === ladder.at && values.length === ladder.words;
    if (!inBlock && values.some((_, i) => !open.has(`holding ${offset + i}`))) throw illegalAddress;
    for (const [i, value] of values.entries()) words.holding.set(offset + i, value);
    options.onWrite?.(offset, values);
    if (!inBlock) return;
    // One scan of the program after the frame: its inputs do not change under its hands.
    ladder.program.scan(values);
    for (const [i, value] of ladder.program.mark.entries()) words.holding.set(ladder.shows + i, value);
  };
  const server = new ServerTCP(
    {
      setRegister: (address: number, value: number) => take(address, [value]),
      setRegisterArray: (address: number, values: number[]) => take(address, values),
      setCoil: (address: number, value: boolean) => {
        if (!open.has(`coil ${address}`)) throw illegalAddress;
        bits.coil.set(address, value);
        options.onWrite?.(address, [value ? 1 : 0]);
      },
      getInputRegister: word('input'),
      getHoldingRegister: word('holding'),
      getCoil: bit('coil'),
      getDiscreteInput: bit('discrete'),
    },
    // The library reads a port of 0 as "none given" and takes 502; as a text it is a free port, as anywhere else.
    { host: options.host, port: String(options.port) as unknown as number, unitID: options.unit },
  );
  server.on('socketError', () => {});
  server.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    server.on('initialized', () => resolve());
    server.on('serverError', (error) => reject(error ?? new Error('modbus server failed')));
  });
  const inner = (server as unknown as { readonly _server: Server })._server;
  const address = inner.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  const byName = new Map(options.registers.map((register) => [register.name, register]));
  return {
    host: options.host,
    port,
    write(name, value) {
      const register = byName.get(name);
      if (register !== undefined) write(register, value);
    },
    read(name) {
      const { table, offset, type } = byName.get(name)!;
      if (table === 'coil' || table === 'discrete') return bits[table].get(offset) === true ? 1 : 0;
      const high = words[table].get(offset) ?? 0;
      if (type !== 'float32' && type !== 'uint32') return type === 'int16' ? (high << 16) >> 16 : high;
      scratch.setUint16(0, high);
      scratch.setUint16(2, words[table].get(offset + 1) ?? 0);
      return type === 'float32' ? scratch.getFloat32(0) : scratch.getUint32(0);
    },
    stop: () =>
      new Promise<void>((resolve) => {
        for (const socket of server.socks.keys()) socket.destroy();
        inner.close(() => resolve());
      }),
  };
}
