import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface RoughLine {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * A line to a server that spoils what the server says, by a seed: `spoil` gets a piece of it, to change, cut or swallow
 * (undefined). What the client says comes through whole.
 */
export async function openRoughLine(
  to: number,
  seed: number,
  spoil: (piece: Buffer, random: (below: number) => number) => Buffer | undefined,
): Promise<RoughLine> {
  let state = seed;
  const random = (below: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const up = connect(to, '127.0.0.1');
    sockets.push(socket, up);
    for (const each of [socket, up]) each.on('error', () => {});
    socket.pipe(up);
    socket.on('close', () => up.destroy());
    up.on('close', () => socket.destroy());
    up.on('data', (data) => {
      const spoilt = spoil(Buffer.from(data), random);
      if (spoilt !== undefined && spoilt.length > 0) socket.write(spoilt);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      for (const each of sockets) each.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
