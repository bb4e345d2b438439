import { noise } from '@libp2p/noise';

type NoiseFactory = ReturnType<typeof noise>;

/** Thrown and caught inside the library, for every message; made once, since its stack is what costs. */
const incomplete = new RangeError('Could not decode int16BE');

const lengthOf = (data: Bytes): number => {
  if (data.length < 2) throw incomplete;
  return data.getUint16 === undefined ? ((data[0] ?? 0) << 8) | (data[1] ?? 0) : data.getUint16(0);
};

/**
 * The library's noise, with one thing made cheaper: after each message its decoder asks for the length of a next one,
 * gets a fresh RangeError because there is none yet, and goes to rest. Writing that error's stack was a seventh of the
 * CPU time of an idle agent. Nothing of the protocol changes; where the library is built otherwise one day, nothing
 * happens here at all.
 */
export function frugalNoise(): NoiseFactory {
  const factory = noise();
  return (components) => {
    const encrypter = factory(components);
    const { secureInbound, secureOutbound } = encrypter;
    encrypter.secureInbound = async (...args) => frugal(await secureInbound.apply(encrypter, args));
    encrypter.secureOutbound = async (...args) => frugal(await secureOutbound.apply(encrypter, args));
    return encrypter;
  };
}

function frugal<T extends { readonly connection: unknown }>(secured: T): T {
  const { decoder } = secured.connection as { decoder?: { lengthDecoder?: LengthDecoder } };
  if (decoder?.lengthDecoder?.bytes === 2) decoder.lengthDecoder = Object.assign(lengthOf, { bytes: 2 });
  return secured;
}

interface LengthDecoder {
  (data: Bytes): number;
  readonly bytes?: number;
}

/** A Uint8Array, or the library's list of them. */
interface Bytes {
  readonly length: number;
  readonly [at: number]: number;
  getUint16?(at: number): number;
}
