import { createHash } from 'node:crypto';
import { err, ok, type Result } from '../../../base/result.ts';
import type { S7Client } from './client.ts';

/**
 * What a controller tells of itself. Status lists and the directory are answered by S7-300 and S7-400 and by what speaks as
 * they do; S7-1200 and S7-1500 refuse most of them, and then the refusal is what is told.
 */

/** Mode, from the status list W#16#0424: low half of the fourth byte (System Software for S7-300/400, chapter on SSL). */
const modes: Readonly<Record<number, string>> = {
  1: 'STOP (update)',
  2: 'STOP (memory reset)',
  3: 'STOP (self-initialization)',
  4: 'STOP',
  5: 'starting (cold)',
  6: 'starting (warm)',
  7: 'starting (hot)',
  8: 'RUN',
  9: 'RUN (redundant)',
  10: 'HOLD',
  13: 'DEFECT',
  14: 'self-test',
  15: 'no power',
};

export interface ControllerMode {
  readonly kind: 'run' | 'stop' | 'between';
  readonly text: string;
}

export async function readMode(client: S7Client): Promise<Result<ControllerMode, string>> {
  const record = await statusRecord(client, 0x0424, 0);
  if (!record.ok) return record;
  if (record.value.length < 4) return err('the status list is cut off');
  const code = record.value[3]! & 0x0f;
  const text = modes[code] ?? `mode ${code}`;
  return ok({ kind: code === 8 || code === 9 ? 'run' : code >= 5 && code <= 7 ? 'between' : 'stop', text });
}

/** Milliseconds. `last` is the cycle before this one. */
export interface ScanTimes {
  readonly last: number;
  readonly least: number;
  readonly most: number;
}

/** Cycle times of OB1, from its start information in the status list W#16#0222, index 1. */
export async function readScan(client: S7Client): Promise<Result<ScanTimes, string>> {
  const record = await statusRecord(client, 0x0222, 1);
  if (!record.ok) return record;
  if (record.value.length < 12) return err('the status list is cut off');
  const at = (i: number) => Math.max(0, record.value.readInt16BE(i));
  return ok({ last: at(6), least: at(8), most: at(10) });
}

/** First record of a status list. */
async function statusRecord(client: S7Client, id: number, index: number): Promise<Result<Buffer, string>> {
  const question = Buffer.alloc(4);
  question.writeUInt16BE(id, 0);
  question.writeUInt16BE(index, 2);
  const answer = await client.userData(4, 1, question);
  if (!answer.ok) return answer;
  const content = answer.value;
  if (content.length < 8 || content.readUInt16BE(0) !== id) return err('the answer is another status list');
  const [length, count] = [content.readUInt16BE(4), content.readUInt16BE(6)];
  if (count === 0) return err('the status list is empty');
  return length > content.length - 8 ? err('the status list is cut off') : ok(content.subarray(8, 8 + length));
}

export interface ProgramBlock {
  /** `OB1`, `FB20`. */
  readonly name: string;
  readonly checksum: number;
  /** Bytes of code, or of data. */
  readonly bytes: number;
}

const kinds = { OB: '8', FB: 'E', FC: 'C', DB: 'A' } as const;
/** A program of more blocks than this is judged by its first ones, and said to be. */
export const mostBlocks = 500;

/** Numbers of all blocks of a kind; none when there are none. */
export async function listBlocks(
  client: S7Client,
  kind: keyof typeof kinds,
): Promise<Result<readonly number[], string>> {
  const answer = await client.userData(3, 2, Buffer.from(`0${kinds[kind]}`, 'latin1'));
  if (!answer.ok) return answer.error === 'there is no such block' ? ok([]) : answer;
  const numbers: number[] = [];
  for (let at = 0; at + 4 <= answer.value.length; at += 4) numbers.push(answer.value.readUInt16BE(at));
  return ok([...new Set(numbers)].sort((a, b) => a - b));
}

export async function readBlock(
  client: S7Client,
  kind: keyof typeof kinds,
  number: number,
): Promise<Result<ProgramBlock, string>> {
  const question = Buffer.from(`0${kinds[kind]}${String(number).padStart(5, '0')}A`, 'latin1');
  const answer = await client.userData(3, 3, question);
  if (!answer.ok) return answer;
  if (answer.value.length < 70) return err('the description of a block is cut off');
  return ok({
    name: `${kind}${number}`,
    checksum: answer.value.readUInt16BE(68),
    bytes: answer.value.readUInt16BE(40),
  });
}

export interface Program {
  /** SHA-256, hex, over names, check sums and lengths of all code blocks, and names and lengths of data blocks. */
  readonly hash: string;
  readonly blocks: readonly ProgramBlock[];
}

/**
 * The program as the directory tells it. The check sums are the controller's own, 16 bits of each block: they show that
 * somebody loaded something else, and are no defence against one who means to hide it. A data block's check sum is left
 * out, since on some controllers it follows the values.
 */
export async function readProgram(client: S7Client): Promise<Result<Program, string>> {
  const blocks: ProgramBlock[] = [];
  for (const kind of ['OB', 'FB', 'FC', 'DB'] as const) {
    const numbers = await listBlocks(client, kind);
    if (!numbers.ok) return numbers;
    for (const number of numbers.value.slice(0, mostBlocks - blocks.length)) {
      const block = await readBlock(client, kind, number);
      if (!block.ok) return err(`${kind}${number}: ${block.error}`);
      blocks.push(block.value);
    }
  }
  if (blocks.length === 0) return err('the directory is empty');
  const hash = createHash('sha256');
  for (const { name, checksum, bytes } of blocks)
    hash.update(`${name} ${name.startsWith('DB') ? 0 : checksum} ${bytes}\n`);
  return ok({ hash: hash.digest('hex'), blocks });
}
