import { createServer, type Server } from 'node:net';

/**
 * Loopback ports that are free now, all held at once while they are looked for. They lie below the range from which the
 * kernel takes ports for outgoing connections, so that a restarted server finds its own again.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: { readonly port: number; readonly server: Server }[] = [];
  for (let tries = 0; held.length < count && tries < 200; tries++) {
    const server = createServer();
    // Each worker of vitest has a thousand of its own, so that two test files never choose the same.
    const worker = Number(process.env['VITEST_POOL_ID'] ?? 0) % 9;
    const port = 10_000 + 1_000 * worker + Math.floor(Math.random() * 1_000);
    const free = await new Promise<boolean>((done) => {
      server.once('error', () => done(false));
      server.listen(port, '127.0.0.1', () => done(true));
    });
    if (free) held.push({ port, server });
  }
  await Promise.all(held.map(({ server }) => new Promise((done) => server.close(done))));
  if (held.length < count) throw new Error('no free loopback ports between 10000 and 19000');
  return held.map(({ port }) => port);
}
