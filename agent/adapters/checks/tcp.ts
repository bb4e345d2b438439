import { connect } from 'node:net';
import type { CheckObservation } from '../../core/health/check.ts';
import { observeSocket, placeOf } from './connection.ts';
import { judged, type ProbeContext } from './probe.ts';

/** Whether something accepts connections there. The connection is closed at once, without a byte. */
export function tcpProbe(host: string, port: number, context: ProbeContext): Promise<CheckObservation> {
  const where = placeOf(host, port);
  const begun = performance.now();
  return observeSocket(connect({ host, port }), where, context, (socket, answer) =>
    socket.once('connect', () => answer(judged('ok', `${where} accepts, ${Math.ceil(performance.now() - begun)} ms`))),
  );
}
