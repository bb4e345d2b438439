import type { Input } from '../../agent/core/input.ts';
import { SimulatedDisk, simulatedJournal } from '../../simulations/world/disk.ts';
import { journalSuite } from './journal-suite.ts';

journalSuite('simulated', () => {
  const disk = new SimulatedDisk();
  let life = 0;
  let pending: { readonly life: number; readonly act: () => void }[] = [];
  return {
    open() {
      const own = ++life;
      const inputs: Input[] = [];
      const port = simulatedJournal(disk, {
        later: (act) => pending.push({ life: own, act }),
        deliver: (input) => inputs.push(input),
      });
      return { port, inputs, restore: () => disk.restore() };
    },
    crash: () => {
      life++;
    },
    fill: (full) => {
      disk.full = full;
    },
    settle() {
      const due = pending;
      pending = [];
      for (const event of due) if (event.life === life) event.act();
    },
    dispose() {},
  };
});
