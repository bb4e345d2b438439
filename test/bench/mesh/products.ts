import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

export const millwright = join(import.meta.dirname, '..', '..', '..', 'millwright.ts');

/** What a node says about another one; suspicions are nobody's business but its own. */
export interface Word {
  readonly member: string;
  readonly is: 'alive' | 'dead';
}

/** One who keeps an eye on the members of a site, as the trial sees it. */
export interface Product {
  readonly name: 'millwright' | 'serf';
  readonly version: string;
  /** How it is run, for the report. */
  readonly how: string;
  /** Makes what the boxes need, once per site. */
  prepare(folder: string, size: number): void;
  /** Starts box `box` (1 …); `running`: boxes that can be asked for the others. */
  command(box: number, site: Site, running: readonly number[]): readonly string[];
  /** What a line of its standard output says about a member. */
  read(line: string): Word | undefined;
}

export interface Site {
  readonly folder: string;
  readonly size: number;
  address(box: number): string;
}

export const nameOf = (box: number): string => `box-${box}`;

const port = 7946;

/** Ours, as somebody starts it who wants to measure: no configuration file, no broker. */
export function ourselves(preset: string, program = millwright): Product {
  const root = resolve(millwright, '..');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  return {
    name: 'millwright',
    version,
    how: `node ${relative(root, program)} agent, preset ${preset}; connections encrypted (Noise), members signed`,
    prepare(folder, size) {
      const args = ['site', 'init', '--agents', String(size), '--pace', preset, '--out', join(folder, 'keys')];
      const made = spawnSync(process.execPath, [millwright, ...args], { encoding: 'utf8' });
      if (made.status !== 0) throw new Error(`millwright site init: ${made.stdout}${made.stderr}`);
    },
    command(box, site) {
      const name = nameOf(box);
      const keys = join(site.folder, 'keys');
      const data = join(site.folder, 'data', name);
      mkdirSync(data, { recursive: true });
      const others = Array.from({ length: site.size }, (_, i) => i + 1).filter((other) => other !== box);
      return [
        ...[process.execPath, program, 'agent', '--site', join(keys, 'site.bundle'), '--name', name],
        ...['--key', join(keys, 'agents', name, 'agent.key'), '--listen', `${site.address(box)}:${port}`],
        ...['--peers', others.map((other) => `${site.address(other)}:${port}`).join(',')],
        ...['--broker', 'none', '--data', data],
      ];
    },
    read(line) {
      if (!line.startsWith('{"event":"member-')) return undefined;
      const { event, member } = JSON.parse(line) as { event: string; member: string };
      if (event === 'member-alive') return { member, is: 'alive' };
      if (event === 'member-dead' || event === 'member-left') return { member, is: 'dead' };
      return undefined;
    },
  };
}

/**
 * HashiCorp's agent of the same family (SWIM and Lifeguard), with its profile for a LAN. The moment is the line of its
 * inner part, which comes up to a second before its own event handlers hear of it.
 */
export function serf(encrypted: boolean): Product {
  const asked = spawnSync('serf', ['version'], { encoding: 'utf8' });
  const key = encrypted ? spawnSync('serf', ['keygen'], { encoding: 'utf8' }).stdout.trim() : undefined;
  return {
    name: 'serf',
    version: debianVersion() ?? asked.stdout.split('\n')[0]?.trim() ?? 'unknown',
    how: `serf agent -profile=lan, ${encrypted ? 'packets encrypted (-encrypt)' : 'packets in the clear'}`,
    prepare() {},
    command(box, site, running) {
      return [
        ...['serf', 'agent', `-node=${nameOf(box)}`, `-bind=${site.address(box)}:${port}`, '-profile=lan'],
        '-rpc-addr=127.0.0.1:7373',
        ...(key === undefined ? [] : [`-encrypt=${key}`]),
        // Plain -join ends the agent if nobody answers yet.
        ...running.slice(0, 3).map((other) => `-retry-join=${site.address(other)}:${port}`),
        '-retry-interval=1s',
      ];
    },
    read(line) {
      const [, event, member] = /serf: EventMember(Join|Failed|Leave|Reap|Update): (\S+)/.exec(line) ?? [];
      if (member === undefined || event === 'Update') return undefined;
      return { member, is: event === 'Join' ? 'alive' : 'dead' };
    },
  };
}

function debianVersion(): string | undefined {
  const asked = spawnSync('dpkg-query', ['-s', 'serf'], { encoding: 'utf8' });
  return /^Version: (\S+)$/m.exec(asked.stdout ?? '')?.[1];
}

/** Why there is no serf here, or undefined. */
export function whyNoSerf(): string | undefined {
  const asked = spawnSync('serf', ['version'], { encoding: 'utf8' });
  if (asked.status === 0) return undefined;
  return (
    'there is no `serf` to compare with. Remedy: apt-get install serf (the trial starts its own agents in network ' +
    'namespaces; a service that the package brings is not needed and should stay disabled)'
  );
}
