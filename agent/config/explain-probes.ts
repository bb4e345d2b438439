import type { Probe, Site } from '../driver/bindings.ts';

/** What a probe looks at, in words. */
export function probeText({ plan }: Site, probe: Probe): string {
  switch (probe.kind) {
    case 'cpu':
      return 'CPU use';
    case 'memory':
      return 'memory use';
    case 'disk':
      return `the disk of ${probe.path}`;
    case 'inode':
      return `the use of inodes at ${probe.path}`;
    case 'load':
      return `the load over ${probe.minutes} min`;
    case 'temperature':
      return probe.sensor === undefined ? 'the hottest sensor' : `sensor ${probe.sensor}`;
    case 'network':
      if (probe.measure === 'link') return `the link of ${probe.interface}`;
      return probe.measure === 'rate'
        ? `the traffic of ${probe.interface}`
        : `the number of broken or dropped frames of ${probe.interface} since the last look`;
    case 'clock-synchronised':
      return "what keeps the box's clock in step";
    case 'clock-jumps':
      return 'the largest step of the clock in the last 10 min';
    case 'clock-offset':
      return probe.against === undefined
        ? "the clock's offset, as chrony says,"
        : `the clock's offset against ${probe.against.host}`;
    case 'process':
      return `the process of ${plan.duties[probe.duty]!.id}`;
    case 'process-name':
      return `a process called ${probe.name}`;
    case 'service':
      return `the unit ${probe.unit}`;
    case 'container':
      return `the container ${probe.name}`;
    case 'tcp':
      return `a connection to ${probe.host}:${probe.port}`;
    case 'tls':
      return `the certificate at ${probe.host}:${probe.port}${probe.trusted ? ' (which must be trusted)' : ''}`;
    case 'plc':
      return plcText(plan.things[probe.source]?.id ?? 'the device', probe);
    case 'ping':
      return `an echo from ${probe.host}`;
    case 'dns': {
      const wants = probe.expect === undefined ? '' : ` (wants ${probe.expect})`;
      return `the ${probe.type} of ${probe.name}${probe.server === undefined ? '' : ` by ${probe.server.host}`}${wants}`;
    }
    case 'http':
      return `${probe.url}${probe.status === undefined ? '' : ` (wants ${probe.status})`}`;
    case 'file-age':
      return `the age of ${probe.path}`;
    case 'log':
      return `the number of new lines in ${probe.path} like ${probe.match}${probe.except === undefined ? '' : ` but not like ${probe.except}`}`;
    case 'mqtt':
      return `the age of what ${probe.topic} last said`;
    case 'sql':
      return `what ${probe.query.trim()} gives`;
    case 'plugin':
      return `the plugin ${probe.argv[0]}${probe.perf === undefined ? '' : ` (or its ${probe.perf.label})`}`;
  }
}

/** Unit of a probe's limits, with a blank before it. */
export function probeUnit(probe: Probe): string {
  switch (probe.kind) {
    case 'cpu':
    case 'memory':
    case 'disk':
    case 'inode':
      return ' %';
    case 'temperature':
      return ' °C';
    case 'network':
      return probe.measure === 'rate' ? ' B/s' : '';
    case 'clock-offset':
    case 'clock-jumps':
    case 'file-age':
    case 'tls':
    case 'mqtt':
      return ' s';
    case 'ping':
    case 'dns':
      return ' ms';
    case 'plc':
      return probe.question === 'scan' ? ' ms' : '';
    case 'plugin':
      return probe.perf === undefined || probe.perf.unit === '' ? '' : ` ${probe.perf.unit}`;
    default:
      return '';
  }
}

function plcText(device: string, { question, expect }: Extract<Probe, { kind: 'plc' }>): string {
  switch (question) {
    case 'mode':
      return `the controller ${device} (RUN is ok, STOP is CRIT, else WARN)`;
    case 'scan':
      return `the scan time of ${device}`;
    case 'service':
      return `the service level of ${device}`;
    case 'program':
      return `the program of ${device} (${expect === undefined ? 'as first seen' : `its hash begins with ${expect}`})`;
  }
}
