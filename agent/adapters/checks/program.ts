import type { Containment } from '../connections/containment.ts';
import { type LocalExit, runLocal } from '../connections/local.ts';
import { answerWithin } from './connection.ts';
import type { ProbeContext } from './probe.ts';

/**
 * Asks a program of the box, for probes that have no better source: its own process group, no shell, English messages,
 * killed for time, its output bounded. The reason, when it could not be asked.
 */
export async function askProgram(
  name: string,
  argv: readonly string[],
  context: ProbeContext,
  containment: Containment | undefined,
): Promise<{ readonly ok: true; readonly exit: LocalExit } | { readonly ok: false; readonly why: string }> {
  const run = await runLocal({
    argv: [...(context.roots.programs?.[name] ?? [name]), ...argv],
    timeoutMs: answerWithin(context.timeoutMs),
    graceMs: 100,
    env: [['LC_ALL', 'C']],
    outputBytes: 32_768,
    containment,
    signal: context.signal,
  });
  if (!run.ok) return { ok: false, why: run.error.text };
  if (run.value.ended === 'timed-out') return { ok: false, why: `${name} timed out` };
  if (run.value.ended === 'cancelled') return { ok: false, why: 'cancelled' };
  return { ok: true, exit: run.value };
}
