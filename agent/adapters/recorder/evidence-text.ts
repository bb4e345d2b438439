import { createHash } from 'node:crypto';
import { addAbortSignal } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { NamedColumns } from './excerpt.ts';
import type { Turns } from './turns.ts';

/** What an evidence says before its series. */
export interface EvidenceHead {
  readonly id: string;
  readonly agent: string;
  readonly site: string;
  readonly subject: string;
  readonly occurrence: string;
  readonly thing: string;
  readonly from: number;
  readonly to: number;
}

/** As many samples as become text in one step: some hundred microseconds. */
const samplesPerStep = 256;

export function evidenceHead({ id, agent, site, subject, occurrence, thing, from, to }: EvidenceHead): string {
  const head = JSON.stringify({ v: 1, id, agent, site, subject, occurrence, thing, from, to });
  return `${head.slice(0, -1)},"series":[`;
}

export const evidenceTail = ']}';

/** One series in pieces, as JSON.stringify would write the whole of it: `samples` of time, value (or null), quality. */
export function* seriesText({ name, unit, columns }: NamedColumns): Generator<string, void> {
  const { times, values, qualities } = columns;
  yield `${JSON.stringify({ name, unit }).slice(0, -1)},"samples":[`;
  for (let from = 0; from < times.length; from += samplesPerStep) {
    const rows: unknown[] = [];
    const end = Math.min(times.length, from + samplesPerStep);
    for (let i = from; i < end; i++) rows.push([times[i], finiteOrNull(values[i]), qualities[i]]);
    yield `${from === 0 ? '' : ','}${JSON.stringify(rows).slice(1, -1)}`;
  }
  yield ']}';
}

/**
 * Packs text that is made in steps: gzip in the pool's threads, the hash along the way; what the steps of one turn gave is
 * all of the text that there is at one time. Undefined when turns ended or `signal` came before the end. Rejects with what
 * a step throws.
 */
export async function packText(
  steps: Iterator<string>,
  turns: Turns,
  signal: AbortSignal,
): Promise<{ readonly data: Uint8Array; readonly sha256: string } | undefined> {
  const hash = createHash('sha256');
  const gzip = addAbortSignal(signal, createGzip({ level: 3 }));
  const packed: Buffer[] = [];
  gzip.on('data', (chunk: Buffer) => packed.push(chunk));
  const ended = finished(gzip);
  // Heard below as well; until then nobody may call it unhandled.
  ended.catch(() => {});
  try {
    const done = await turns.run(steps, async (given) => {
      const bytes = Buffer.from(given.join(''));
      if (bytes.length === 0) return;
      hash.update(bytes);
      const written = new Promise<void>((resolve) => gzip.write(bytes, () => resolve()));
      // A stream that broke, or was told to end, may never say that it has written.
      await Promise.race([written, ended]);
    });
    if (done === undefined) return undefined;
    gzip.end();
    await ended;
    return { data: Buffer.concat(packed), sha256: hash.digest('hex') };
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  } finally {
    gzip.destroy();
  }
}

const finiteOrNull = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null;
