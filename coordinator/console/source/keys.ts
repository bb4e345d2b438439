import { useCallback, useEffect, useRef } from 'react';

/** Single keys that work anywhere on the page, except where somebody types. */
export const useKeys = (keys: Readonly<Record<string, () => void>>): void => {
  const latest = useRef(keys);
  latest.current = keys;
  const onKey = useCallback((event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if ((event.target as HTMLElement).closest('input, select, textarea') !== null) return;
    const work = latest.current[event.key];
    if (work === undefined) return;
    event.preventDefault();
    work();
  }, []);
  useEffect(() => {
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [onKey]);
};
