import type { ClientSession } from 'node-opcua-client';

/** All that an effect uses of the Modbus driver. */
export interface ModbusClient {
  writeCoil(offset: number, on: boolean): Promise<unknown>;
  writeRegister(offset: number, word: number): Promise<unknown>;
  writeRegisters(offset: number, words: number[]): Promise<unknown>;
  readInputRegisters(offset: number, length: number): Promise<{ readonly data: readonly number[] }>;
  readHoldingRegisters(offset: number, length: number): Promise<{ readonly data: readonly number[] }>;
}

/** An open connection of one of the drivers. It may end at any time; whoever borrows it never closes it. */
export type LentConnection =
  | { readonly kind: 'modbus'; readonly client: ModbusClient }
  | { readonly kind: 'opcua'; readonly session: ClientSession };
