import { connect, type Socket } from 'node:net';

/** An open socket, or an error within `ms`. */
export function dial(host: string, port: number, ms: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true });
    const fail = (error: Error) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      socket.destroy();
      reject(error);
    };
    const stop = () => fail(new Error('stopped'));
    const timer = setTimeout(() => fail(new Error(`${host}:${port}: no connection within ${ms} ms`)), ms);
    signal.addEventListener('abort', stop, { once: true });
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}
