import { held } from './held.ts';

/** Who sits at this page. Kept on the device; it goes into the record of what is acknowledged, and proves nothing. */
const KEPT = 'millwright-name';
const kept = (): string => localStorage.getItem(KEPT) ?? '';
const person = held(kept());

// Another page on the same device asked already.
window.addEventListener('storage', ({ key }) => key === KEPT && person.set(kept()));

export const setPerson = (name: string): void => {
  if (name === '') localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, name);
  person.set(name);
};

export const usePerson = person.use;
