import type { DutyIndex } from '../../base/ids.ts';
import { unreachable } from '../../base/invariant.ts';
import type { CheckObservation } from '../../core/health/check.ts';
import type { Probe } from '../../driver/bindings.ts';
import type { Containment } from '../connections/containment.ts';
import type { ProcessState } from '../duty-runners/process.ts';
import { createJumpProbe, offsetProbe, synchronisedProbe } from './clock-offset.ts';
import { containerProbe } from './container.ts';
import { createCpuProbe } from './cpu.ts';
import { diskProbe } from './disk.ts';
import { dnsProbe } from './dns.ts';
import { fileAgeProbe } from './file-age.ts';
import { httpProbe } from './http.ts';
import { inodeProbe } from './inode.ts';
import { loadProbe } from './load.ts';
import { createLogProbe } from './log-pattern.ts';
import { memoryProbe } from './memory.ts';
import { MqttFreshness } from './mqtt-freshness.ts';
import { createNetworkProbe } from './network.ts';
import { pingProbe } from './ping.ts';
import { type AskController, createPlcProbe } from './plc.ts';
import { pluginProbe } from './plugin.ts';
import type { ProbeContext } from './probe.ts';
import { createProcessNameProbe, dutyProcessProbe } from './process.ts';
import { createServiceProbe } from './service.ts';
import { sqlProbe } from './sql.ts';
import { tcpProbe } from './tcp.ts';
import { temperatureProbe } from './temperature.ts';
import { tlsProbe } from './tls.ts';

/** One check's way of looking. It may remember something from one look to the next, and hold something open. */
export interface Prober {
  observe(context: ProbeContext): Promise<CheckObservation>;
  stop?(): void;
}

export interface ProberFacts {
  readonly containment: Containment | undefined;
  readonly processOf: (duty: DutyIndex) => ProcessState | undefined;
  readonly dutyName: (duty: DutyIndex) => string;
  /** Absent: this box polls no device. */
  readonly ask?: AskController | undefined;
}

/** What a check's probe becomes on this box. */
export function createProber(probe: Probe, { containment, processOf, dutyName, ask }: ProberFacts): Prober {
  switch (probe.kind) {
    case 'cpu':
      return { observe: createCpuProbe() };
    case 'memory':
      return { observe: memoryProbe };
    case 'disk':
      return { observe: (context) => diskProbe(probe.path, context) };
    case 'inode':
      return { observe: (context) => inodeProbe(probe.path, context) };
    case 'load':
      return { observe: (context) => loadProbe(probe.minutes, context) };
    case 'temperature':
      return { observe: (context) => temperatureProbe(probe.sensor, context) };
    case 'network':
      return { observe: createNetworkProbe(probe.interface, probe.measure) };
    case 'clock-synchronised':
      return { observe: (context) => synchronisedProbe(context, containment) };
    case 'clock-offset':
      return { observe: (context) => offsetProbe(probe.against, context, containment) };
    case 'clock-jumps':
      return { observe: createJumpProbe() };
    case 'process':
      return { observe: async () => dutyProcessProbe(dutyName(probe.duty), processOf(probe.duty)) };
    case 'process-name':
      return { observe: createProcessNameProbe(probe.name) };
    case 'service': {
      const look = createServiceProbe(probe.unit);
      return { observe: (context) => look(context, containment) };
    }
    case 'container':
      return { observe: (context) => containerProbe(probe.name, probe.socket, context) };
    case 'tcp':
      return { observe: (context) => tcpProbe(probe.host, probe.port, context) };
    case 'tls':
      return { observe: (context) => tlsProbe(probe, context) };
    case 'ping':
      return { observe: (context) => pingProbe(probe.host, context, containment) };
    case 'dns':
      return { observe: (context) => dnsProbe(probe, context) };
    case 'http':
      return { observe: (context) => httpProbe(probe, context) };
    case 'file-age':
      return { observe: (context) => fileAgeProbe(probe.path, context) };
    case 'log':
      return { observe: createLogProbe(probe) };
    case 'mqtt':
      return new MqttFreshness(probe);
    case 'plc':
      return { observe: createPlcProbe(probe, ask) };
    case 'sql':
      return { observe: (context) => sqlProbe(probe, context, containment) };
    case 'plugin':
      return { observe: (context) => pluginProbe(probe, context, containment) };
    default:
      return unreachable(probe);
  }
}
