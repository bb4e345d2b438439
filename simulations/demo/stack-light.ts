import { appendFileSync } from 'node:fs';

/** Stands in for a stack light at the machine: `stack-light FILE COLOUR raised|cleared` writes one line per change. */
const [file, colour, transition] = process.argv.slice(2);
if (file !== undefined) {
  appendFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), colour, transition })}\n`);
}
