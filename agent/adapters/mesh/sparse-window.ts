import type { Stream } from './libp2p-types.ts';

/** What this needs of yamux's stream (@libp2p/yamux 8.0.3); not part of its published type. */
interface YamuxWindow {
  state: number;
  recvWindow: number;
  recvWindowCapacity: number;
  sendWindowUpdate(): void;
}

const established = 3;

/**
 * Makes a stream announce its receive window when half of it is used, as other yamux implementations do, and not
 * after each message. At ten probes a second of ten bytes each, the announcements are half of all packets and a
 * third of the mesh's CPU. Does nothing when the stream is not what is expected here: it costs CPU then, that is all.
 */
export function announceWindowSeldom(stream: Stream): void {
  const yamux = stream as Stream & Partial<YamuxWindow>;
  const announce = yamux.sendWindowUpdate;
  if (typeof announce !== 'function' || typeof yamux.recvWindowCapacity !== 'number') return;
  yamux.sendWindowUpdate = () => {
    const { state, recvWindow, recvWindowCapacity } = yamux as Stream & YamuxWindow;
    if (state === established && recvWindowCapacity > recvWindow / 2) return;
    announce.call(stream);
  };
}
