import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** Two ends of one serial cable: what is written into the one device file is read from the other. */
export interface SerialPair {
  readonly a: string;
  readonly b: string;
  stop(): Promise<void>;
}

/** The kernel's pseudo terminals, which Node cannot open, joined by a page of Python; they are raw, as a line is. */
const joined = `
import os, pty, select, sys, tty
(a, at), (b, bt) = pty.openpty(), pty.openpty()
for slave in (at, bt): tty.setraw(slave)
print(os.ttyname(at), os.ttyname(bt), flush=True)
other = {a: b, b: a}
while True:
    for end in select.select([a, b, 0], [], [])[0]:
        if end == 0:
            if not os.read(0, 100): sys.exit()
        else: os.write(other[end], os.read(end, 4096))
`;

export async function openSerialPair(): Promise<SerialPair> {
  const child = spawn('python3', ['-c', joined], { stdio: ['pipe', 'pipe', 'inherit'] });
  // The whole line: an unbuffered Python writes it word by word.
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const [a, b] = line.split(' ');
  if (a === undefined || b === undefined) throw new Error(`two device files expected, "${line}" came`);
  return {
    a,
    b,
    stop: async () => {
      const gone = once(child, 'exit');
      child.stdin.end();
      await gone;
    },
  };
}
