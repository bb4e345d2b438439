// An agent without a will: what comes on standard input goes to the supervisor, what the supervisor says to standard
// output, so that a test holds the agent's end itself. A line `#…` is for the relay.
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';

const supervisor = new Socket({ fd: Number(process.env.MILLWRIGHT_SUPERVISOR_FD), readable: true, writable: true });
process.stdout.write(`#${JSON.stringify({ pid: process.pid, env: Object.keys(process.env) })}\n`);
supervisor.pipe(process.stdout, { end: false });
createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, value] = line.split(' ');
  if (word === '#block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(value));
  else if (word === '#exit') process.exit(Number(value));
  else supervisor.write(`${line}\n`);
});
