import type { Tag } from '../../driver/bindings.ts';
import type { SourceTiming } from '../plc/source.ts';
import type { LentConnection } from './lent-connection.ts';
import type { Mark } from './token-block.ts';

/** What is to be written, checked against the device's kind before anything is opened. */
export type DeviceWrite =
  /** A plain value: compared with nothing on the device. */
  | { readonly kind: 'value'; readonly address: string; readonly type: Tag['type']; readonly value: number }
  /** Token, sequence and command in one frame, for a device that compares. */
  | {
      readonly kind: 'block';
      /** Where the frame goes. */
      readonly address: string;
      /** Where the device shows which effect it took last. */
      readonly shows: string;
      /** 1 … 117 words of 16 bits. */
      readonly command: readonly number[];
    };

/** `unknown`: it may have been written. `refused`: the device said no, so it was not. */
export type WriteAnswer =
  | { readonly kind: 'taken' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unknown'; readonly reason: string };

/** One open connection for one effect. */
export interface WriteSession {
  /** Begins to send within this very turn of the event loop. Never rejects. `mark` goes into a block. */
  send(mark: Mark): Promise<WriteAnswer>;
  /** Which effect the device took last; of a block only. Rejects with a reason. */
  shown(): Promise<Mark | undefined>;
  /** Bounded, never rejects. */
  close(): Promise<void>;
}

/**
 * The hand on one device. A connection is opened for each effect and closed after it (effects are rare, and one that was
 * opened just now is known to work), or the one that is read over is borrowed.
 */
export interface DeviceWriter {
  /** Why this can never be written there; undefined: it can. */
  objection(write: DeviceWrite): string | undefined;
  /** Connects and logs in; nothing is written yet. Rejects with a reason for people. */
  open(write: DeviceWrite, signal: AbortSignal): Promise<WriteSession>;
}

export interface WriterOptions<C> {
  readonly connection: C;
  /** As for reading: this agent's OPC UA keys and trusted certificates. */
  readonly pki: string;
  readonly timing?: Partial<SourceTiming>;
  /**
   * A connection that is open already, and no other: what it answers is used, and left open. Absent: a connection of its
   * own for each effect.
   */
  readonly lent?: (() => LentConnection | undefined) | undefined;
}
