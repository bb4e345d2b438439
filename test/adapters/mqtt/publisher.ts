import { writeSync } from 'node:fs';
import { openOutbox } from '../../../agent/adapters/store/sqlite-outbox.ts';

/** Publishes without end and writes the number of each report that was accepted, for a test that kills it. */
const [dir = '.', from = '0'] = process.argv.slice(2);
const outbox = openOutbox({ dir, boot: `b${from}`, clock: () => ({ wall: Date.now(), uncertaintyMs: 5 }) });
for (let n = Number(from); ; n++) {
  const body = {
    type: 'event',
    name: 'counted',
    subject: 's',
    severity: 'info',
    text: 'x'.repeat(n % 400),
    detail: { n },
  } as const;
  if (outbox.publish({ class: n % 3 === 0 ? 'telemetry' : 'event', body })) writeSync(1, `${n}\n`);
}
