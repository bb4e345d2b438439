import type { Socket } from 'node:net';

/** `Socket.write` as servers use it here: bytes, and what hears when they have gone. */
export type Send = (bytes: string | Uint8Array, sent?: (error?: Error | null) => void) => boolean;

/**
 * A way to write to a socket on which everything comes late by `delayMs()`, in its order: what is written behind bytes
 * that wait, waits as well. The delay of the moment counts, so a repaired line gives all that it holds with the next
 * write. What waits when the socket closes is lost, as it would be in a device.
 */
export function lateLine(socket: Socket, delayMs: () => number): Send {
  const write: Send = socket.write.bind(socket);
  const waiting: { readonly since: number; readonly bytes: string | Uint8Array; readonly sent: Parameters<Send>[1] }[] =
    [];
  let timer: NodeJS.Timeout | undefined;
  const release = (): void => {
    clearTimeout(timer);
    for (let head = waiting[0]; head !== undefined; head = waiting[0]) {
      const waits = head.since + delayMs() - performance.now();
      if (waits > 0) {
        // Node may wake a timer up to a millisecond early.
        timer = setTimeout(release, waits + 1).unref();
        return;
      }
      waiting.shift();
      if (socket.writable) write(head.bytes, head.sent);
    }
  };
  socket.once('close', () => {
    clearTimeout(timer);
    waiting.length = 0;
  });
  return (bytes, sent) => {
    if (waiting.length === 0 && delayMs() <= 0) return write(bytes, sent);
    waiting.push({ since: performance.now(), bytes, sent });
    release();
    return true;
  };
}
