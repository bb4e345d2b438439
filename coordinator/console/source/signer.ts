import { held } from './held.ts';
import type { Signer } from './order-signing.ts';

/** Whose key this page holds, as long as it is open. Browsers let a page sign over https or on the machine itself only. */
export const canSign = (): boolean => globalThis.isSecureContext === true && globalThis.crypto?.subtle !== undefined;

const signer = held<Signer | undefined>(undefined);

/** Undefined: forget it. */
export const holdSigner = signer.set;
export const useSigner = signer.use;
