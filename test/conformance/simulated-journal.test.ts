import type { Input } from '../../agent/core/input.ts';
import type { LeasePort } from '../../agent/driver/ports.ts';
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
      const persistLeases: LeasePort['persist'] = (token, cell, entries) =>
        pending.push({
          life: own,
          act: () => {
            const reason = disk.persistLeases(cell, entries);
            if (reason === undefined) inputs.push({ kind: 'leases-persisted', token });
            else inputs.push({ kind: 'leases-persist-failed', token, reason });
          },
        });
      return { port, persistLeases, inputs, restore: () => disk.restore() };
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
