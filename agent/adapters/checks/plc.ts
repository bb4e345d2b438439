import type { ThingIndex } from '../../base/ids.ts';
import type { Result } from '../../base/result.ts';
import type { CheckObservation } from '../../core/health/check.ts';
import type { Probe } from '../../driver/bindings.ts';
import type { ControllerFact, ControllerQuestion } from '../plc/source.ts';
import { judged, measured, notKnown } from './probe.ts';

type PlcProbe = Extract<Probe, { kind: 'plc' }>;

/** Asks the connection over which a device is polled on this box; an error when it is not polled here, or is silent. */
export type AskController = (
  source: ThingIndex,
  question: ControllerQuestion,
) => Promise<Result<ControllerFact, string>>;

/**
 * What a controller says of itself: RUN is ok, STOP is CRIT, what lies between is WARN; scan time and service level are
 * measured. A program is compared with the hash that the site file expects, or with the first one that was seen since
 * this box began to watch. Whoever does not answer is UNKNOWN: that it is lost, its signals say.
 */
export function createPlcProbe({ source, question, expect }: PlcProbe, ask: AskController | undefined) {
  let first: string | undefined;
  return async (): Promise<CheckObservation> => {
    const answer = (await ask?.(source, question)) ?? { ok: false as const, error: 'no device is polled here' };
    if (!answer.ok) return notKnown(answer.error);
    const fact = answer.value;
    switch (fact.is) {
      case 'mode':
        return judged(fact.mode === 'run' ? 'ok' : fact.mode === 'stop' ? 'crit' : 'warn', fact.text);
      case 'scan':
        return measured(fact.ms, 'ms', 'scan', fact.text);
      case 'service':
        return measured(fact.level, '', 'service-level', fact.text);
      case 'program': {
        const short = fact.hash.slice(0, 16);
        const wanted = expect ?? first;
        first ??= fact.hash;
        if (wanted === undefined || fact.hash.startsWith(wanted)) return judged('ok', `program ${short}, ${fact.text}`);
        const than = expect === undefined ? 'than when watching began' : 'than expected';
        return judged('crit', `another program ${than}: ${short} and not ${wanted.slice(0, 16)}`);
      }
    }
  };
}
