import { useSyncExternalStore } from 'react';
import type { Signer } from './order-signing.ts';

/** Whose key this page holds, as long as it is open. Browsers let a page sign over https or on the machine itself only. */
export const canSign = (): boolean => globalThis.isSecureContext === true && globalThis.crypto?.subtle !== undefined;

let held: Signer | undefined;
const listeners = new Set<() => void>();

/** Undefined: forget it. */
export const holdSigner = (signer: Signer | undefined): void => {
  held = signer;
  for (const tell of listeners) tell();
};

export const useSigner = (): Signer | undefined =>
  useSyncExternalStore(
    (tell) => {
      listeners.add(tell);
      return () => listeners.delete(tell);
    },
    () => held,
  );
