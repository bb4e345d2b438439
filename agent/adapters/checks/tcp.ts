import { connect } from 'node:net';
import type { CheckObservation } from '../../core/health/check.ts';
import { codeOf, judged, notKnown, type ProbeContext, reasonOf } from './probe.ts';

/** Probes of the network answer by themselves before the check's own time-out, which can only say "unknown". */
export const answerWithin = (timeoutMs: number): number => Math.max(timeoutMs * 0.9, timeoutMs - 250);

/** What a failed connection says about the other side; `undefined` when it says more about ourselves. */
export function connectionFailure(error: unknown, where: string): CheckObservation {
  const code = codeOf(error);
  switch (code) {
    case 'ECONNREFUSED':
      return judged('crit', `connection refused by ${where}`);
    case 'ECONNRESET':
    case 'EPIPE':
      return judged('crit', `connection broken by ${where}`);
    case 'EHOSTUNREACH':
    case 'EHOSTDOWN':
      return judged('crit', `${where} cannot be reached`);
    case 'ETIMEDOUT':
      return judged('crit', `no answer from ${where}`);
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return notKnown(`the name of ${where} cannot be resolved`);
    case 'ENETUNREACH':
    case 'ENETDOWN':
    case 'EADDRNOTAVAIL':
      return notKnown(`no way to ${where} from this box`);
    default:
      return notKnown(`${where}: ${reasonOf(error)}`);
  }
}

/** Whether something accepts connections there. The connection is closed at once, without a byte. */
export function tcpProbe(host: string, port: number, context: ProbeContext): Promise<CheckObservation> {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const begun = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const answer = (observation: CheckObservation) => {
      clearTimeout(timer);
      context.signal.removeEventListener('abort', aborted);
      socket.destroy();
      resolve(observation);
    };
    const aborted = () => answer(notKnown('cancelled'));
    const within = answerWithin(context.timeoutMs);
    const timer = setTimeout(() => answer(judged('crit', `no answer from ${where} in ${seconds(within)} s`)), within);
    context.signal.addEventListener('abort', aborted, { once: true });
    socket.once('connect', () => answer(judged('ok', `${where} accepts, ${Math.ceil(performance.now() - begun)} ms`)));
    socket.on('error', (error) => answer(connectionFailure(error, where)));
  });
}

export const seconds = (ms: number): number => Math.round(ms / 100) / 10;
