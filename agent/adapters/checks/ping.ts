import type { CheckObservation } from '../../core/health/check.ts';
import { lastLines } from '../connections/bounded-output.ts';
import type { Containment } from '../connections/containment.ts';
import { answerWithin, seconds } from './connection.ts';
import { judged, notKnown, type ProbeContext } from './probe.ts';
import { askProgram } from './program.ts';

/**
 * One echo request, by the system's own `ping`: sending one needs a right that the program has and this process need not.
 * Good when it is answered, with the time in milliseconds as value; bad when it is not. One lost packet is no fault:
 * that is what `raise: 3` is for.
 */
export async function pingProbe(
  host: string,
  context: ProbeContext,
  containment: Containment | undefined,
): Promise<CheckObservation> {
  const waitMs = answerWithin(context.timeoutMs);
  const wait = String(Math.max(1, Math.floor(waitMs / 1_000)));
  const asked = await askProgram('ping', ['-n', '-q', '-c', '1', '-W', wait, '--', host], context, containment);
  if (!asked.ok) {
    if (asked.why === 'ping timed out') return judged('crit', `no echo from ${host} in ${seconds(waitMs)} s`);
    return notKnown(`${host}: ${asked.why}`);
  }
  const { exit } = asked;
  const all = `${exit.stdout.head}\n${exit.stderr.text}`;
  if (exit.code === 0) {
    // "rtt min/avg/max/mdev = 0.021/…" (iputils), "round-trip min/avg/max = 0.1/…" (busybox).
    const ms = Number(/(?:rtt|round-trip)[^=]*=\s*([\d.]+)\//.exec(all)?.[1] ?? Number.NaN);
    if (!Number.isFinite(ms)) return judged('ok', `${host} answers`);
    const perf = [{ label: 'rtt', value: ms, unit: 'ms', warn: undefined, crit: undefined, min: 0, max: undefined }];
    return { status: 'ok', value: ms, text: `${host} answers in ${ms} ms`, perf };
  }
  if (exit.code === 1 && /\b0 (?:packets )?received/.test(all)) return judged('crit', `no echo from ${host}`);
  const said = lastLines(exit.stderr.text, 1);
  return notKnown(`${host}: ${said === '' ? `ping ended with code ${exit.code ?? '?'}` : said}`);
}
