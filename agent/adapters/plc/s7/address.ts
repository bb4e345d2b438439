import { err, ok, type Result } from '../../../base/result.ts';
import type { Tag } from '../../../driver/bindings.ts';

export type S7Area = 'db' | 'merker' | 'input' | 'output';

/** How the bytes at an address are read. All are big-endian. */
export type S7Type = 'bit' | 'uint8' | 'int8' | 'uint16' | 'int16' | 'uint32' | 'int32' | 'float32' | 'float64';

export interface S7Address {
  readonly area: S7Area;
  /** Number of the data block; 0 for other areas. */
  readonly block: number;
  readonly from: number;
  readonly bytes: number;
  /** 0 … 7 of the byte, for `bit` only. */
  readonly bit: number | undefined;
  readonly type: S7Type;
}

const types: Readonly<Record<string, S7Type>> = {
  X: 'bit',
  BOOL: 'bit',
  B: 'uint8',
  BYTE: 'uint8',
  USINT: 'uint8',
  SINT: 'int8',
  W: 'uint16',
  WORD: 'uint16',
  UINT: 'uint16',
  I: 'int16',
  INT: 'int16',
  D: 'uint32',
  DWORD: 'uint32',
  UDINT: 'uint32',
  DI: 'int32',
  DINT: 'int32',
  R: 'float32',
  REAL: 'float32',
  LREAL: 'float64',
};

const sizes: Readonly<Record<S7Type, number>> = {
  bit: 1,
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  float32: 4,
  float64: 8,
};

const areas: Readonly<Record<string, S7Area>> = {
  M: 'merker',
  I: 'input',
  E: 'input',
  Q: 'output',
  A: 'output',
};

/** For people. */
export const s7Form = 'DB10,REAL4 · DB10,X0.1 · DB10.DBD4 · M0.1 · MW20 · I0.0 · QB4';

/**
 * `DB10,REAL4` (block, type, byte), the same as the programming software writes it (`DB10.DBX0.1`, `DB10.DBD4`, which is a
 * number without sign or point), and merkers, inputs (I, E) and outputs (Q, A): `M0.1`, `MW20`, `MREAL4`, `I0.0`, `QB4`.
 * Capital or small. The text may come from anybody: the error says what was expected.
 */
export function parseS7Address(text: string): Result<S7Address, string> {
  const said = text.trim().toUpperCase();
  const no = (why: string) => err(`"${text.slice(0, 80)}" is no S7 address: ${why}`);
  const block = /^DB(\d{1,5})(?:,([A-Z_]{1,16})|\.DB([XBWD]))(\d{1,5})(?:\.(\d))?$/.exec(said);
  const other = block === null ? /^([MIEQA])([A-Z_]{0,16})(\d{1,5})(?:\.(\d))?$/.exec(said) : null;
  const found = block ?? other;
  if (found === null) return no(`say for example ${s7Form}`);
  const [word, offset, bitText] =
    block === null
      ? [found[2] === '' ? 'X' : found[2]!, found[3]!, found[4]]
      : [found[2] ?? found[3]!, found[4]!, found[5]];
  const type = types[word];
  if (type === undefined) return no(`${word} is none of ${Object.keys(types).join(', ')}`);
  if ((type === 'bit') !== (bitText !== undefined)) {
    return no(type === 'bit' ? 'a bit is written byte.bit, as M0.1' : `${word} is no bit: take .${bitText} off`);
  }
  const bit = bitText === undefined ? undefined : Number(bitText);
  if (bit !== undefined && bit > 7) return no('a byte has the bits 0 to 7');
  const number = block === null ? 0 : Number(block[1]);
  if (block !== null && (number < 1 || number > 65_535)) return no('data blocks are 1 to 65535');
  const from = Number(offset);
  const bytes = sizes[type];
  if (from + bytes > 65_536) return no('it ends behind byte 65535');
  return ok({ area: block === null ? areas[other![1]!]! : 'db', block: number, from, bytes, bit, type });
}

/** The type of a signal at this address. */
export const tagTypeOf = (type: S7Type): Tag['type'] =>
  type === 'bit' ? 'bool' : type === 'uint8' ? 'uint16' : type === 'int8' ? 'int16' : type;

/** Bytes of the address → value. Undefined when there are too few. */
export function decodeS7(address: S7Address, bytes: Buffer): number | undefined {
  if (bytes.length < address.bytes) return undefined;
  switch (address.type) {
    case 'bit':
      return (bytes[0]! >>> address.bit!) & 1;
    case 'uint8':
      return bytes.readUInt8(0);
    case 'int8':
      return bytes.readInt8(0);
    case 'uint16':
      return bytes.readUInt16BE(0);
    case 'int16':
      return bytes.readInt16BE(0);
    case 'uint32':
      return bytes.readUInt32BE(0);
    case 'int32':
      return bytes.readInt32BE(0);
    case 'float32':
      return bytes.readFloatBE(0);
    case 'float64':
      return bytes.readDoubleBE(0);
  }
}
