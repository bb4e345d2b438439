import { readFile } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import type { CheckObservation } from '../../core/health/check.ts';
import { measured, notKnown, type ProbeContext, rounded } from './probe.ts';

/** Share of the memory that programs could not get without swapping, 0 to 100 %: caches count as free. */
export async function memoryProbe({ roots }: ProbeContext): Promise<CheckObservation> {
  let total = totalmem() / 1024;
  let available = freemem() / 1024;
  if (process.platform === 'linux' || roots.proc !== '/proc') {
    const text = await readFile(`${roots.proc}/meminfo`, 'utf8');
    const of = (name: string) => {
      const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
      return found === undefined ? undefined : Number(found);
    };
    const free = of('MemFree');
    total = of('MemTotal') ?? 0;
    // Kernels before 3.14 do not estimate it.
    available = of('MemAvailable') ?? (free ?? 0) + (of('Buffers') ?? 0) + (of('Cached') ?? 0);
  }
  if (!(total > 0)) return notKnown('memory: the kernel names no total');
  const percent = Math.min(100, Math.max(0, 100 * (1 - available / total)));
  const mib = (kib: number) => Math.round(kib / 1024);
  return measured(
    rounded(percent),
    '%',
    'memory',
    `memory ${Math.round(percent)} % used, ${mib(available)} of ${mib(total)} MiB available`,
  );
}
