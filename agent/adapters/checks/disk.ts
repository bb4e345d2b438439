import { statfs } from 'node:fs/promises';
import type { CheckObservation } from '../../core/health/check.ts';
import { codeOf, judged, measured, notKnown, type ProbeContext, reasonOf, rounded } from './probe.ts';

/**
 * Share of a file system that is used, 0 to 100 %, as `df` counts it: what is kept back for root is nobody's. A file
 * system without free inodes is full too, whatever its blocks say; the larger share counts.
 */
export async function diskProbe(path: string, _context: ProbeContext): Promise<CheckObservation> {
  let stats: Awaited<ReturnType<typeof statfs>>;
  try {
    stats = await statfs(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return judged('crit', `disk ${path}: there is no such path`);
    return notKnown(`disk ${path}: ${reasonOf(error)}`);
  }
  const used = stats.blocks - stats.bfree;
  const usable = used + stats.bavail;
  if (!(usable > 0)) return notKnown(`disk ${path}: this file system has no size`);
  const blocks = (100 * used) / usable;
  const inodes = stats.files > 0 ? (100 * (stats.files - stats.ffree)) / stats.files : 0;
  const percent = Math.max(blocks, inodes);
  const what = inodes > blocks ? ' of its inodes' : '';
  const free = Math.round((stats.bavail * stats.bsize) / 2 ** 20);
  return measured(rounded(percent), '%', 'disk', `disk ${path} ${Math.round(percent)} %${what} used, ${free} MiB free`);
}
