import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { startCoordinator } from '../../coordinator/coordinator.ts';
import { eventually } from '../support/eventually.ts';
import { Bench, portOf } from './bench.ts';

test('a scan knocks fifty times at the broker → all counted, the log keeps its rhythm', async () => {
  const bench = new Bench();
  const logged: Record<string, unknown>[] = [];
  const coordinator = await startCoordinator(bench.config(), (_level, event, detail) => {
    if (event === 'broker-refused') logged.push(detail);
  });
  try {
    const begun = Date.now();
    const counted = () => Object.values(coordinator.status().broker.refused).reduce((sum, n) => sum + n, 0);
    for (let i = 0; i < 50; i++) {
      const socket = connect(portOf(coordinator.broker), '127.0.0.1').on('error', () => {});
      socket.end('GET / HTTP/1.1\r\n\r\n');
    }
    await eventually(() => counted() >= 50, { deadlineMs: 15_000, what: 'every knock counted' });
    expect(logged.length).toBeGreaterThan(0);
    expect(logged.length).toBeLessThanOrEqual(1 + Math.ceil((Date.now() - begun) / 1_000));
  } finally {
    await coordinator.stop();
    await bench.end();
  }
});
