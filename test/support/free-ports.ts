import { createServer, type Server } from 'node:net';

/** A guard and the ports behind it. */
const blockSize = 16;
const lowest = 10_000;
const highest = 20_000;

/**
 * Loopback ports that are free, and ours for as long as this process lives: the first port of their block stays open as
 * a guard, so that another test, of this run or of one beside it, finds the block taken and looks further. They lie
 * below the range from which the kernel takes ports for outgoing connections, so that a restarted server finds its own
 * again.
 */
export async function freePorts(count: number): Promise<number[]> {
  if (count >= blockSize) throw new RangeError(`${count} ports: at most ${blockSize - 1} at once`);
  const blocks = Math.floor((highest - lowest) / blockSize);
  const begin = Math.floor(Math.random() * blocks);
  for (let tried = 0; tried < blocks; tried++) {
    const first = lowest + blockSize * ((begin + tried) % blocks);
    const guard = await listenAt(first);
    if (guard === undefined) continue;
    const ports = Array.from({ length: count }, (_, n) => first + 1 + n);
    // Whoever knows nothing of guards may sit in the middle of a block.
    const held = await Promise.all(ports.map(listenAt));
    await Promise.all(held.map((server) => server && new Promise((done) => server.close(done))));
    if (!held.includes(undefined)) return ports;
    await new Promise((done) => guard.close(done));
  }
  throw new Error(`no free block of loopback ports between ${lowest} and ${highest}`);
}

/** Turns everybody away, and keeps no process alive; undefined when the port is taken. */
function listenAt(port: number): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((done) => {
    server.once('error', () => done(undefined));
    server.listen(port, '127.0.0.1', () => done(server.unref()));
  });
}
