import type { S7Address } from './address.ts';
import type { S7Range } from './frame.ts';

/** Bytes that lie between two tags and are read along rather than asked around: an item of its own costs 12 and 4. */
const widestGap = 16;
/** Items in one request, as Snap7 and controllers have it. */
const mostItems = 20;

export interface TagRange<T> extends S7Range {
  readonly tags: readonly { readonly tag: T; readonly address: S7Address }[];
}

/** Joins tags into stretches; none is longer than one answer of the agreed size bears, and no value is torn in two. */
export function planRanges<T>(
  tags: readonly { readonly tag: T; readonly address: S7Address }[],
  pdu: number,
): TagRange<T>[] {
  const longest = Math.max(16, pdu - 18);
  const sorted = [...tags].sort(
    ({ address: a }, { address: b }) =>
      a.area.localeCompare(b.area) || a.block - b.block || a.from - b.from || a.bytes - b.bytes,
  );
  const ranges: {
    area: S7Range['area'];
    block: number;
    from: number;
    bytes: number;
    tags: { tag: T; address: S7Address }[];
  }[] = [];
  for (const one of sorted) {
    const { area, block, from, bytes } = one.address;
    const open = ranges.at(-1);
    const end = from + bytes;
    if (
      open !== undefined &&
      open.area === area &&
      open.block === block &&
      from <= open.from + open.bytes + widestGap &&
      Math.max(end, open.from + open.bytes) - open.from <= longest
    ) {
      open.bytes = Math.max(open.bytes, end - open.from);
      open.tags.push(one);
    } else ranges.push({ area, block, from, bytes, tags: [one] });
  }
  return ranges;
}

/** Ranges → requests: as many in one as question and answer of the agreed size bear. */
export function packRanges<R extends S7Range>(ranges: readonly R[], pdu: number): R[][] {
  const requests: R[][] = [];
  let asked = 0;
  let given = 0;
  for (const range of ranges) {
    const answer = 4 + range.bytes + (range.bytes % 2);
    const open = requests.at(-1);
    if (open !== undefined && open.length < mostItems && asked + 12 <= pdu && given + answer <= pdu) {
      open.push(range);
      asked += 12;
      given += answer;
    } else {
      requests.push([range]);
      asked = 12 + 12;
      given = 14 + answer;
    }
  }
  return requests;
}
