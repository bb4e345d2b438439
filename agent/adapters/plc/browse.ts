import type { Connection } from '../../driver/bindings.ts';
import { browseTopics } from './mqtt/browse.ts';
import { browseOpcUa } from './opcua-browse.ts';
import { browseS7 } from './s7/browse.ts';
import type { SourceTiming } from './source.ts';

/** One thing that a device has, with the address that a site file would say. */
export interface BrowseRow {
  /** 0 for the roots. */
  readonly depth: number;
  readonly name: string;
  /** Undefined: a folder, or what is no value. */
  readonly address: string | undefined;
  readonly type: string | undefined;
  /** What it holds now, when the device told it on the way; for people. */
  readonly value: string | undefined;
}

export interface BrowseOptions {
  /** Where to begin, as the protocol writes it: a node id, a topic with wildcards. */
  readonly from: string | undefined;
  /** Levels below the beginning. */
  readonly depth: number;
  /** Rows at most; what is beyond is told, not shown. */
  readonly most: number;
  /** How long topics are listened to, milliseconds. */
  readonly listenMs: number;
  readonly pki: string;
  readonly timing: SourceTiming;
  readonly signal: AbortSignal;
}

export interface Browsed {
  readonly rows: readonly BrowseRow[];
  /** There was more than `most` rows or `depth` levels. */
  readonly cut: boolean;
}

/** What a device says that it has. Rejects with a reason for people. */
export function browse(connection: Connection, options: BrowseOptions): Promise<Browsed> {
  switch (connection.kind) {
    case 'opcua':
      return browseOpcUa(connection, options);
    case 's7':
      return browseS7(connection, options);
    case 'mqtt':
      return browseTopics(connection, options);
    case 'modbus':
      return Promise.reject(
        new Error('Modbus has no directory: look at the device’s manual, or read a range: holding:40001..40020'),
      );
  }
}

/** One line, short: a device's text may be anything. */
export const shown = (value: unknown): string =>
  String(
    value instanceof Date && !Number.isNaN(value.getTime())
      ? value.toISOString()
      : typeof value === 'object' && value !== null
        ? JSON.stringify(value)
        : value,
  )
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ')
    .slice(0, 60);
