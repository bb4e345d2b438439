import type { Server } from 'node:net';
import { ServerTCP } from 'modbus-serial';
import type { ModbusRegister } from './register-map.ts';

export interface ModbusFaceOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly unit: number;
  readonly registers: readonly ModbusRegister[];
}

export interface ModbusFace {
  readonly host: string;
  readonly port: number;
  /** Writes one register (or pair) as the device's own program would. */
  write(name: string, value: number): void;
  stop(): Promise<void>;
}

/** What modbus-serial turns into exception 2, "illegal data address". */
const illegalAddress = Object.assign(new Error('illegal data address'), { modbusErrorCode: 2 });

/** A real Modbus TCP server (modbus-serial) over the table. Clients can read; there is nothing to write. */
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

  const word = (table: 'input' | 'holding') => (address: number) => {
    const value = words[table].get(address);
    if (value === undefined) throw illegalAddress;
    return value;
  };
  const bit = (table: 'coil' | 'discrete') => (address: number) => {
    const value = bits[table].get(address);
    if (value === undefined) throw illegalAddress;
    return value;
  };
  const server = new ServerTCP(
    {
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
    stop: () =>
      new Promise<void>((resolve) => {
        for (const socket of server.socks.keys()) socket.destroy();
        inner.close(() => resolve());
      }),
  };
}
