import type { CheckObservation, CheckStatus } from '../../core/health/check.ts';
import type { ProbeOf } from '../../driver/bindings.ts';
import { lastLines } from '../connections/bounded-output.ts';
import type { Containment } from '../connections/containment.ts';
import { runLocal } from '../connections/local.ts';
import { answerWithin, seconds } from './connection.ts';
import { parsePluginOutput } from './perfdata.ts';
import { perfValue } from './plugin-value.ts';
import { judged, notKnown, type ProbeContext } from './probe.ts';

const statuses: readonly CheckStatus[] = ['ok', 'warn', 'crit', 'unknown'];
const textBound = 1_000;
const outputBytes = 65_536;

/**
 * Runs a monitoring plugin: exit code 0 ok, 1 warning, 2 critical, 3 unknown; anything else, a signal and a time-out
 * are unknown. The plugin has a process group of its own and is killed with it.
 */
export async function pluginProbe(
  { argv, perf: wanted }: ProbeOf<'plugin'>,
  context: ProbeContext,
  containment: Containment | undefined,
): Promise<CheckObservation> {
  const within = answerWithin(context.timeoutMs);
  const name = argv[0]?.split('/').at(-1) ?? 'plugin';
  const run = await runLocal({
    argv,
    timeoutMs: within,
    // A plugin only looks: there is nothing that it should tidy up in comfort.
    graceMs: 100,
    env: [['LC_ALL', 'C']],
    // Twice the bound: half of it is the head, and the head is what is parsed.
    outputBytes: 2 * outputBytes,
    containment,
    signal: context.signal,
  });
  if (!run.ok) return notKnown(run.error.text);
  const exit = run.value;
  if (exit.ended === 'timed-out') return notKnown(`${name} timed out after ${seconds(within)} s`);
  if (exit.ended === 'cancelled') return notKnown(`${name} was cancelled`);

  const { head, cut, bytes } = exit.stdout;
  // A cut output ends somewhere in a line: what stands before it is whole.
  const whole = cut ? head.slice(0, head.lastIndexOf('\n') + 1) || head : head;
  const { text, perf } = parsePluginOutput(whole);
  const said = shorten(text === '' ? lastLines(exit.stderr.text) : text);
  const shown = cut ? `${said} (output of ${bytes} bytes was cut)` : said;
  if (exit.signal !== undefined)
    return notKnown(`${name} was killed by ${exit.signal}${shown === '' ? '' : `: ${shown}`}`);
  const status = exit.code === undefined ? undefined : statuses[exit.code];
  if (status === undefined) {
    return judged(
      'unknown',
      `${name} ended with code ${exit.code ?? '?'}${shown === '' ? '' : `: ${shown}`}`,
      perf.items,
    );
  }
  const told = shown === '' ? `${name} said nothing` : shown;
  if (wanted === undefined || status === 'unknown') return judged(status, told, perf.items);
  const found = perfValue(perf.items, wanted.label, wanted.unit);
  // What it judged by itself stands; that the figure is missing is no reason to call a bad thing unknown.
  if ('why' in found) return judged(status === 'ok' ? 'unknown' : status, `${told} (${found.why})`, perf.items);
  return { status, value: found.value, text: told, perf: perf.items };
}

const shorten = (text: string): string => (text.length > textBound ? `${text.slice(0, textBound)}…` : text);
