import type { BrowseRow } from '../adapters/plc/browse.ts';
import type { Sample } from '../core/health/signal.ts';
import type { Tag } from '../driver/bindings.ts';

export interface TagSample {
  readonly tag: Tag;
  readonly sample: Sample | undefined;
}

/** Cells → lines, each column as wide as its widest. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Name, value, unit, quality, the device's own time of day, and why it is not good. */
export function sampleRow({ tag, sample }: TagSample): string[] {
  if (sample === undefined) return [tag.name, '-', '', 'none', '', 'it said nothing in time'];
  const value = Number.isNaN(sample.value)
    ? '-'
    : tag.type === 'float32'
      ? String(Number(sample.value.toPrecision(7)))
      : String(sample.value);
  const time = new Date(sample.sourceTime).toISOString().slice(11, 23);
  return [tag.name, value, tag.unit ?? '', sample.quality, time, sample.why ?? ''];
}

export const jsonOf = ({ tag, sample }: TagSample): object => ({
  name: tag.name,
  address: tag.address,
  value: sample === undefined || Number.isNaN(sample.value) ? null : sample.value,
  unit: tag.unit ?? null,
  quality: sample?.quality ?? null,
  sourceTime: sample === undefined ? null : new Date(sample.sourceTime).toISOString(),
  ...(sample?.why === undefined ? {} : { why: sample.why }),
});

/** A device's things, indented by level, each with the address to write into a site file. */
export function tree(rows: readonly BrowseRow[]): string[] {
  return columns(
    rows.map(({ depth, name, address, type, value }) => [
      `${'  '.repeat(depth)}${name}`,
      address === undefined || address === name ? '' : address,
      type ?? '',
      value ?? '',
    ]),
  );
}
