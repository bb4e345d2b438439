import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A line to a local port that can be cut like a cable: what was open breaks, and nothing new gets through. */
export const startRelay = async (port: number) => {
  const sockets = new Set<Socket>();
  let whole = true;
  const server = createServer((near) => {
    if (!whole) return near.destroy();
    const far = connect(port, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as { port: number };
  const cut = (): void => {
    whole = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${address.port}`,
    cut,
    mend: (): void => {
      whole = true;
    },
    stop: async (): Promise<void> => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
};
