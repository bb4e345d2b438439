import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../../driver/bindings.ts';
import { reasonOf } from '../plc/keep-connected.ts';
import type { Gate } from './claims.ts';
import type { DeviceWrite, DeviceWriter, WriteAnswer, WriterOptions, WriteSession } from './device-writer.ts';
import type { Claim } from './gateway.ts';
import { ModbusWriter } from './modbus-writer.ts';
import { OpcUaWriter } from './opcua-writer.ts';
import { compareMarks, type Mark } from './token-block.ts';

/** The writer for a connection. Its driver is loaded with the first write. */
export function createWriter(options: WriterOptions<Connection>): DeviceWriter {
  const { connection } = options;
  switch (connection.kind) {
    case 'modbus':
      return new ModbusWriter({ ...options, connection });
    case 'opcua':
      return new OpcUaWriter({ ...options, connection });
    case 's7':
    case 'mqtt':
      return {
        objection: () => `nothing is written over ${connection.kind === 's7' ? 'S7' : 'MQTT'}`,
        open: () => Promise.reject(new Error('nothing is written here')),
      };
  }
}

/**
 * How an effect ended. `ok`: the device took it (and, of a block, its program shows that it carried it out). `failed`:
 * certainly nothing was done. `timed-out`: doubt.
 */
export interface EffectEnd {
  readonly outcome: 'ok' | 'failed' | 'timed-out';
  readonly detail: string;
  /** Nothing has reached the device. */
  readonly untouched: boolean;
}

export interface WriteOptions {
  readonly gate: Gate;
  readonly writer: DeviceWriter;
  readonly claim: Claim;
  readonly write: DeviceWrite;
  /** From the call to its answer; connecting is part of it. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** How often a device is asked whether its program has come round. */
const lookEveryMs = 20;

/**
 * One write under a right: connect, then judge and send in one synchronous block. Connecting comes first, since it is
 * what takes long: the time between the check and the write is then that of a few microseconds of this process, unless
 * it is frozen just there. Against that, only a device that compares tokens helps: see `block`.
 */
export async function writeToDevice(options: WriteOptions): Promise<EffectEnd> {
  const { gate, writer, claim, write, timeoutMs, signal } = options;
  const objection = writer.objection(write);
  if (objection !== undefined) return nothing(objection);
  const over = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, Math.min(timeoutMs, 2_000_000_000)))]);
  let session: WriteSession;
  try {
    session = await writer.open(write, over);
  } catch (error) {
    return nothing(reasonOf(error));
  }
  try {
    // A device that compares is asked first: what it has seen, its gateway may not know.
    if (write.kind === 'block') {
      const shown = await session.shown();
      if (shown !== undefined && shown.token > claim.token) {
        return nothing(`the device is at ${shown.token} already: a successor is there`);
      }
    }
    if (over.aborted) return nothing('no time was left to write');
    const { token } = claim;
    const answer =
      write.kind === 'block'
        ? gate.performNumbered(claim, ({ sequence }) => ({
            mark: { token, sequence },
            sent: session.send({ token, sequence }),
          }))
        : gate.perform(claim, ({ sequence }) => ({
            mark: { token, sequence },
            sent: session.send({ token, sequence }),
          }));
    if (!answer.ok) return nothing(answer.error.text);
    const { mark, sent } = answer.value;
    const taken = await orAborted(sent, over);
    if (taken.kind === 'refused')
      return { outcome: 'failed', detail: `the device refused: ${taken.reason}`, untouched: false };
    if (write.kind === 'block') return await comesRound(session, mark, taken, over);
    if (taken.kind === 'taken')
      return { outcome: 'ok', detail: `${write.value} written to ${write.address}`, untouched: false };
    return { outcome: 'timed-out', detail: `whether it was written is not known: ${taken.reason}`, untouched: false };
  } catch (error) {
    // All that throws here comes before the frame was sent.
    return nothing(reasonOf(error));
  } finally {
    await session.close();
  }
}

/** Waits until the device's program shows what became of the block, also when the frame's own answer was lost. */
async function comesRound(session: WriteSession, mark: Mark, sent: WriteAnswer, over: AbortSignal): Promise<EffectEnd> {
  let last = sent.kind === 'unknown' ? sent.reason : 'its program has not come round';
  while (!over.aborted) {
    try {
      const shown = await session.shown();
      const order = shown === undefined ? -1 : compareMarks(shown, mark);
      if (order === 0)
        return { outcome: 'ok', detail: `carried out as ${mark.token}/${mark.sequence}`, untouched: false };
      // Above ours: either it was refused, or ours was done and a successor's came after it.
      if (shown !== undefined && order > 0) {
        const detail = `the device is at ${shown.token}/${shown.sequence} already: a successor is there`;
        return { outcome: 'timed-out', detail, untouched: false };
      }
    } catch (error) {
      last = reasonOf(error);
      if (sent.kind === 'unknown') break;
    }
    await sleep(lookEveryMs, undefined, { signal: over }).catch(() => {});
  }
  return { outcome: 'timed-out', detail: `whether it was carried out is not known: ${last}`, untouched: false };
}

const nothing = (detail: string): EffectEnd => ({ outcome: 'failed', detail, untouched: true });

const orAborted = (sent: Promise<WriteAnswer>, over: AbortSignal): Promise<WriteAnswer> =>
  new Promise((resolve) => {
    const stop = () => resolve({ kind: 'unknown', reason: 'no answer in time' });
    if (over.aborted) return stop();
    over.addEventListener('abort', stop, { once: true });
    void sent.then((answer) => {
      over.removeEventListener('abort', stop);
      resolve(answer);
    });
  });
