import { useSyncExternalStore } from 'react';

/** Where the reader is: the path, and what a list shows in the query. Everything that can be shared is in here. */
const changed = new EventTarget();

window.addEventListener('popstate', () => changed.dispatchEvent(new Event('change')));

const subscribe = (tell: () => void): (() => void) => {
  changed.addEventListener('change', tell);
  return () => changed.removeEventListener('change', tell);
};

const here = (): string => window.location.pathname + window.location.search;

/** Path split at its slashes, decoded; `[]` is the first page. */
export const usePath = (): readonly string[] => {
  const path = useSyncExternalStore(subscribe, () => window.location.pathname);
  return path
    .split('/')
    .filter((part) => part !== '')
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
};

export const navigate = (to: string): void => {
  if (to === here()) return;
  window.history.pushState(null, '', to);
  changed.dispatchEvent(new Event('change'));
  window.scrollTo(0, 0);
};

/** One value of the query; the empty text means that it is not there. Typing does not fill the history. */
export const useQueryValue = (name: string): readonly [string, (value: string) => void] => {
  const query = useSyncExternalStore(subscribe, () => window.location.search);
  const set = (value: string): void => {
    const params = new URLSearchParams(window.location.search);
    if (value === '') params.delete(name);
    else params.set(name, value);
    const text = params.toString();
    window.history.replaceState(null, '', window.location.pathname + (text === '' ? '' : `?${text}`));
    changed.dispatchEvent(new Event('change'));
  };
  return [new URLSearchParams(query).get(name) ?? '', set];
};
