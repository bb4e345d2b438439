import type { Socket } from 'node:net';
import type { CheckObservation } from '../../core/health/check.ts';
import { codeOf, judged, notKnown, type ProbeContext, reasonOf } from './probe.ts';

/** Probes of the network answer by themselves before the check's own time-out, which can only say "unknown". */
export const answerWithin = (timeoutMs: number): number => Math.max(timeoutMs * 0.9, timeoutMs - 250);

/** As people write an address: IPv6 in brackets. */
export const placeOf = (host: string, port: number): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

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

/**
 * What a socket that is about to connect tells by `listen`; or that it failed, that nothing came in time, or that nobody
 * waits any more. Whichever comes first counts, and the socket is closed with it. Never rejects.
 */
export function observeSocket<S extends Socket>(
  socket: S,
  where: string,
  context: ProbeContext,
  listen: (socket: S, answer: (observation: CheckObservation) => void) => void,
  failure: (error: Error, where: string) => CheckObservation = connectionFailure,
): Promise<CheckObservation> {
  return new Promise((resolve) => {
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
    socket.on('error', (error) => answer(failure(error, where)));
    listen(socket, answer);
  });
}

export const seconds = (ms: number): number => Math.round(ms / 100) / 10;
