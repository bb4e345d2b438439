import { statfs } from 'node:fs/promises';
import type { CheckObservation } from '../../core/health/check.ts';
import { codeOf, judged, measured, notKnown, type ProbeContext, reasonOf, rounded } from './probe.ts';

/**
 * Share of a file system's inodes that is used, 0 to 100 %: a disk with room left takes no new file without one. File
 * systems that make inodes as they go (btrfs, xfs in part) name no total; there is nothing to run out of then.
 */
export async function inodeProbe(path: string, _context: ProbeContext): Promise<CheckObservation> {
  let stats: Awaited<ReturnType<typeof statfs>>;
  try {
    stats = await statfs(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return judged('crit', `inodes of ${path}: there is no such path`);
    return notKnown(`inodes of ${path}: ${reasonOf(error)}`);
  }
  if (!(stats.files > 0)) return measured(0, '%', 'inodes', `${path} has no fixed number of inodes`);
  const percent = (100 * (stats.files - stats.ffree)) / stats.files;
  return measured(
    rounded(percent),
    '%',
    'inodes',
    `inodes of ${path} ${Math.round(percent)} % used, ${stats.ffree} free`,
  );
}
