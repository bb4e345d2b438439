import { useSyncExternalStore } from 'react';

/** Who sits at this page. Kept on the device; it goes into the record of what is acknowledged, and proves nothing. */
const KEPT = 'millwright-name';
const listeners = new Set<() => void>();

export const setPerson = (name: string): void => {
  if (name === '') localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, name);
  for (const tell of listeners) tell();
};

export const usePerson = (): string =>
  useSyncExternalStore(
    (tell) => {
      listeners.add(tell);
      return () => listeners.delete(tell);
    },
    () => localStorage.getItem(KEPT) ?? '',
  );
