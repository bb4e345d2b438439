import type { CheckObservation } from '../../core/health/check.ts';
import { lastLines } from '../connections/bounded-output.ts';
import type { Containment } from '../connections/containment.ts';
import { judged, notKnown, type ProbeContext } from './probe.ts';
import { askProgram } from './program.ts';

const properties = ['LoadState', 'ActiveState', 'SubState', 'Result', 'NRestarts'] as const;

/**
 * A unit of systemd, asked by `systemctl show`: active is good; starting, stopping and reloading are a warning; all
 * else is bad, a unit that does not exist too. A unit that was restarted since the last look is good again, and the
 * text says so: a service that dies every minute is active at nearly every look.
 */
export function createServiceProbe(
  unit: string,
): (context: ProbeContext, containment: Containment | undefined) => Promise<CheckObservation> {
  let lastRestarts: number | undefined;
  return async (context, containment) => {
    const argv = ['show', '--no-pager', ...properties.map((name) => `--property=${name}`), '--', unit];
    const asked = await askProgram('systemctl', argv, context, containment);
    if (!asked.ok) return notKnown(`${unit}: ${asked.why}`);
    const { exit } = asked;
    if (exit.code !== 0) return notKnown(`${unit}: systemctl: ${lastLines(exit.stderr.text) || `code ${exit.code}`}`);
    const said = new Map<string, string>();
    for (const line of exit.stdout.head.split('\n')) {
      const equals = line.indexOf('=');
      if (equals > 0) said.set(line.slice(0, equals), line.slice(equals + 1).trim());
    }
    const load = said.get('LoadState');
    const active = said.get('ActiveState');
    if (load === undefined || active === undefined) return notKnown(`${unit}: systemctl gave no state`);
    if (load === 'not-found') return judged('crit', `there is no unit ${unit}`);
    if (load === 'masked') return judged('crit', `${unit} is masked`);
    const sub = said.get('SubState') ?? '';
    const state = sub === '' || sub === active ? active : `${active} (${sub})`;

    const restarts = Number(said.get('NRestarts'));
    const more = lastRestarts === undefined || !(restarts > lastRestarts) ? 0 : restarts - lastRestarts;
    if (Number.isFinite(restarts)) lastRestarts = restarts;
    const again = more === 0 ? '' : `, restarted ${more === 1 ? 'once' : `${more} times`} since the last look`;
    const result = said.get('Result') ?? 'success';
    switch (active) {
      case 'active':
        return judged('ok', `${unit} is ${state}${again}`);
      case 'reloading':
      case 'deactivating':
        return judged('warn', `${unit} is ${state}`);
      case 'activating':
        // Waiting to be started again is not starting: it has just died.
        return judged(sub === 'auto-restart' ? 'crit' : 'warn', `${unit} is ${state}${again}`);
      default:
        return judged('crit', `${unit} is ${state}${result === 'success' ? '' : `: ${result}`}`);
    }
  };
}
