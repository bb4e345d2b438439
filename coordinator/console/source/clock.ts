import { useSyncExternalStore } from 'react';

/**
 * The coordinator's time of day, in whole seconds. A panel's own clock may be wrong by hours; “12 s ago” compares
 * with the clock that the times came from, and this page only measures how far its own is off.
 */
let offset = 0;
let second = Math.floor(Date.now() / 1_000);
const listeners = new Set<() => void>();
let timer: number | undefined;

const turn = (): void => {
  const next = Math.floor((Date.now() + offset) / 1_000);
  if (next === second) return;
  second = next;
  for (const tell of listeners) tell();
};

export const setServerTime = (wall: number): void => {
  offset = wall - Date.now();
  turn();
};

/** Milliseconds since 1970, advancing once a second. */
export const useNow = (): number =>
  useSyncExternalStore(
    (tell) => {
      listeners.add(tell);
      timer ??= window.setInterval(turn, 250);
      return () => {
        listeners.delete(tell);
        if (listeners.size > 0) return;
        window.clearInterval(timer);
        timer = undefined;
      };
    },
    () => second * 1_000,
  );

export const serverNow = (): number => Date.now() + offset;
