import { useSyncExternalStore } from 'react';

/** A value outside of any one component: whoever uses it is drawn again when it is set. */
export interface Held<T> {
  readonly get: () => T;
  readonly set: (value: T) => void;
  readonly use: () => T;
}

export const held = <T>(first: T): Held<T> => {
  let value = first;
  const listeners = new Set<() => void>();
  const subscribe = (tell: () => void): (() => void) => {
    listeners.add(tell);
    return () => listeners.delete(tell);
  };
  const get = (): T => value;
  return {
    get,
    set: (next) => {
      value = next;
      for (const tell of listeners) tell();
    },
    use: () => useSyncExternalStore(subscribe, get),
  };
};
