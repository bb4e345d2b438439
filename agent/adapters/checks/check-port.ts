import { BoundedQueue } from '../../base/bounded-queue.ts';
import type { CheckIndex, DutyIndex } from '../../base/ids.ts';
import { unreachable } from '../../base/invariant.ts';
import type { CheckObservation, CheckSpec } from '../../core/health/check.ts';
import type { Probe, Site } from '../../driver/bindings.ts';
import type { CheckPort, Deliver } from '../../driver/ports.ts';
import type { Containment } from '../connections/containment.ts';
import type { ProcessState } from '../duty-runners/process.ts';
import type { Log } from '../duty-runners/runner.ts';
import { createCpuProbe } from './cpu.ts';
import { diskProbe } from './disk.ts';
import { fileAgeProbe } from './file-age.ts';
import { httpProbe } from './http.ts';
import { loadProbe } from './load.ts';
import { memoryProbe } from './memory.ts';
import { pluginProbe } from './plugin.ts';
import { notKnown, type ProbeContext, type Roots, reasonOf, systemRoots } from './probe.ts';
import { createProcessNameProbe, dutyProcessProbe } from './process.ts';
import { seconds, tcpProbe } from './tcp.ts';
import { temperatureProbe } from './temperature.ts';

export interface CheckPortOptions {
  readonly site: Pick<Site, 'plan'>;
  readonly deliver: Deliver;
  /** State of a process duty that this agent holds. */
  readonly processOf: (duty: DutyIndex) => ProcessState | undefined;
  readonly roots?: Roots;
  /** So that plugins die with the agent. */
  readonly containment?: Containment | undefined;
  /** Probes under way at once; others wait, on their own time. Default 8. */
  readonly parallel?: number;
  readonly log: Log;
}

export interface ProbingCheckPort extends CheckPort {
  /** A process duty's child came or went: its checks are answered now, unasked. */
  processChanged(duty: DutyIndex): void;
  /** Cancels what is under way; nothing is delivered any more. */
  stop(): void;
}

/** One probe of one check, from `run` until the probe itself has come back. */
interface UnderWay {
  readonly spec: CheckSpec;
  readonly begunAt: number;
  readonly abort: AbortController;
  readonly timer: NodeJS.Timeout;
  /** How many calls wait for this answer; 0 when it was given, though the probe still hangs. */
  waiting: number;
}

/**
 * Answers every `run` with exactly one observation within the check's time-out. A check is never probed twice at
 * once: a second call while the first is unanswered shares its answer, and a probe that hangs beyond its time-out (a
 * dead network disk) makes further calls UNKNOWN until it has come back.
 */
export function createCheckPort(options: CheckPortOptions): ProbingCheckPort {
  const { site, deliver, processOf, log, containment, parallel = 8 } = options;
  const { plan } = site;
  const roots = options.roots ?? systemRoots;
  const underWay = new Map<CheckIndex, UnderWay>();
  const queue = new BoundedQueue<UnderWay>(Math.max(64, plan.checks.length));
  /** Probes that remember something from one run to the next. */
  const remembering = new Map<CheckIndex, (context: ProbeContext) => Promise<CheckObservation>>();
  const checksOfProcess = new Map<DutyIndex, CheckIndex[]>();
  for (const spec of plan.checks) {
    const probe = probeOf(spec);
    if (probe?.kind !== 'process') continue;
    checksOfProcess.set(probe.duty, [...(checksOfProcess.get(probe.duty) ?? []), spec.index]);
  }
  let busy = 0;
  let stopped = false;

  const answer = (entry: UnderWay, observation: CheckObservation) => {
    clearTimeout(entry.timer);
    for (; entry.waiting > 0; entry.waiting--) {
      if (!stopped) deliver({ kind: 'check-observed', check: entry.spec.index, observation });
    }
  };

  const next = () => {
    while (busy < parallel) {
      const entry = queue.shift();
      if (entry === undefined) return;
      if (entry.abort.signal.aborted) {
        underWay.delete(entry.spec.index);
        continue;
      }
      busy++;
      const context = { roots, timeoutMs: leftOf(entry), signal: entry.abort.signal };
      void observe(entry.spec, context)
        .catch((error: unknown) => notKnown(`${entry.spec.id}: ${reasonOf(error)}`))
        .then((observation) => {
          busy--;
          underWay.delete(entry.spec.index);
          answer(entry, observation);
          next();
        });
    }
  };

  const leftOf = (entry: UnderWay) => Math.max(1, entry.spec.timeoutMs - (performance.now() - entry.begunAt));

  async function observe(spec: CheckSpec, context: ProbeContext): Promise<CheckObservation> {
    const probe = probeOf(spec);
    if (probe === undefined) return notKnown(`${spec.id} has nothing to run`);
    switch (probe.kind) {
      case 'cpu': {
        const measure = remembering.get(spec.index) ?? createCpuProbe();
        remembering.set(spec.index, measure);
        return measure(context);
      }
      case 'memory':
        return memoryProbe(context);
      case 'disk':
        return diskProbe(probe.path, context);
      case 'load':
        return loadProbe(probe.minutes, context);
      case 'temperature':
        return temperatureProbe(probe.sensor, context);
      case 'process':
        return dutyProcessProbe(nameOf(probe.duty), processOf(probe.duty));
      case 'process-name': {
        const look = remembering.get(spec.index) ?? createProcessNameProbe(probe.name);
        remembering.set(spec.index, look);
        return look(context);
      }
      case 'tcp':
        return tcpProbe(probe.host, probe.port, context);
      case 'http':
        return httpProbe(probe, context);
      case 'file-age':
        return fileAgeProbe(probe.path, context);
      case 'plugin':
        return pluginProbe(probe.argv, context, containment);
      default:
        return unreachable(probe);
    }
  }

  const nameOf = (duty: DutyIndex): string => plan.duties[duty]?.id ?? `duty ${duty}`;

  const timedOut = (entry: UnderWay) => {
    const queued = !entry.abort.signal.aborted && entry.waiting > 0 && busy >= parallel;
    answer(entry, notKnown(`timed out after ${seconds(entry.spec.timeoutMs)} s`));
    entry.abort.abort();
    if (queued) log.debug({ check: entry.spec.id }, 'probe timed out while all probes were busy');
  };

  return {
    run(check) {
      if (stopped) return;
      const spec = plan.checks[check];
      if (spec === undefined) return deliver({ kind: 'check-observed', check, observation: notKnown('no such check') });
      const before = underWay.get(check);
      if (before !== undefined) {
        if (before.waiting > 0) before.waiting++;
        else {
          const age = seconds(performance.now() - before.begunAt);
          deliver({ kind: 'check-observed', check, observation: notKnown(`its last probe hangs since ${age} s`) });
        }
        return;
      }
      const entry: UnderWay = {
        spec,
        begunAt: performance.now(),
        abort: new AbortController(),
        timer: setTimeout(() => timedOut(entry), spec.timeoutMs),
        waiting: 1,
      };
      if (!queue.push(entry)) return answer(entry, notKnown('too many probes wait'));
      underWay.set(check, entry);
      next();
    },
    processChanged(duty) {
      if (stopped) return;
      const observation = dutyProcessProbe(nameOf(duty), processOf(duty));
      for (const check of checksOfProcess.get(duty) ?? []) deliver({ kind: 'check-observed', check, observation });
    },
    stop() {
      stopped = true;
      queue.clear();
      for (const entry of underWay.values()) {
        clearTimeout(entry.timer);
        entry.abort.abort();
      }
    },
  };
}

/** The configuration compiles a check's probe into this union; the core hands it around unseen. */
const probeOf = (spec: CheckSpec): Probe | undefined =>
  spec.source.kind === 'probe' ? (spec.source.probe as Probe) : undefined;
