import type { Connection } from '../../../driver/bindings.ts';
import type { Browsed, BrowseOptions, BrowseRow } from '../browse.ts';
import { dial } from '../dial.ts';
import { S7Client } from './client.ts';
import { listBlocks, readBlock } from './controller.ts';

/** The controller's blocks: data blocks with the addresses of their bytes, code blocks with their check sums. */
export async function browseS7(
  { host, port, rack, slot }: Extract<Connection, { kind: 's7' }>,
  { timing, signal, most }: BrowseOptions,
): Promise<Browsed> {
  const socket = await dial(host, port, timing.connectMs, signal);
  const client = await S7Client.open(socket, rack, slot, timing.requestMs);
  try {
    const rows: BrowseRow[] = [];
    let cut = false;
    let refusal: string | undefined;
    for (const kind of ['DB', 'OB', 'FB', 'FC'] as const) {
      const numbers = await listBlocks(client, kind);
      if (!numbers.ok) {
        refusal ??= numbers.error;
        continue;
      }
      for (const number of numbers.value) {
        if (rows.length >= most) {
          cut = true;
          break;
        }
        const block = await readBlock(client, kind, number);
        const data = kind === 'DB';
        rows.push({
          depth: 0,
          name: `${kind}${number}`,
          address: data ? `DB${number},BYTE0` : undefined,
          type: data ? 'data block' : 'code block',
          value: block.ok
            ? data
              ? `${block.value.bytes} bytes`
              : `check sum ${block.value.checksum.toString(16).padStart(4, '0')}`
            : block.error,
        });
      }
    }
    if (rows.length === 0)
      throw new Error(`the controller shows no directory${refusal === undefined ? '' : `: ${refusal}`}`);
    return { rows, cut };
  } finally {
    client.close();
  }
}
