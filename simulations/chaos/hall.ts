import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';

/** Ports of the mesh and the status API on every box, and of the machine in the hall; nobody else lives there. */
export const meshPort = 7400;
export const apiPort = 7480;
export const machinePort = 7500;
export const machineAddress = '10.88.0.254';

const prefix = 'mwc';
const spaces = '/run/netns';

export interface BoxPlace {
  readonly index: number;
  /** Its network namespace. */
  readonly space: string;
  readonly address: string;
}

/**
 * A hall with boxes on one switch: a network namespace for each box, and one for the bridge that joins them and for the
 * machine they work on. No way leads out of it. Faults are what happens to cables: the switch port goes down, or two
 * boxes stop reaching each other while both reach the third.
 */
export class Hall {
  readonly space: string;
  readonly boxes: readonly BoxPlace[];

  private constructor(space: string, boxes: readonly BoxPlace[]) {
    this.space = space;
    this.boxes = boxes;
  }

  static build(count: number): Hall {
    sweep();
    const tag = `${prefix}${process.pid.toString(36)}`;
    const hall = new Hall(
      `${tag}-hall`,
      Array.from({ length: count }, (_, index) => ({
        index,
        space: `${tag}-${index + 1}`,
        address: `10.88.0.${index + 1}`,
      })),
    );
    try {
      ip('netns', 'add', hall.space);
      ip('-n', hall.space, 'link', 'set', 'lo', 'up');
      // Forwarding at once: a switch in a plant does not learn a topology before each box may speak.
      ip('-n', hall.space, 'link', 'add', 'switch', 'type', 'bridge', 'forward_delay', '0', 'stp_state', '0');
      ip('-n', hall.space, 'addr', 'add', `${machineAddress}/24`, 'dev', 'switch');
      ip('-n', hall.space, 'link', 'set', 'switch', 'up');
      for (const { index, space, address } of hall.boxes) {
        ip('netns', 'add', space);
        const port = portOf(index);
        ip('-n', hall.space, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space);
        ip('-n', hall.space, 'link', 'set', port, 'master', 'switch', 'up');
        ip('-n', space, 'link', 'set', 'lo', 'up');
        ip('-n', space, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
        ip('-n', space, 'link', 'set', 'eth0', 'up');
      }
      return hall;
    } catch (error) {
      hall.remove();
      throw error;
    }
  }

  /**
   * Argument vector that runs a program inside. Not `ip netns exec`: that mounts /sys anew, and the supervisor would
   * find no cgroups there.
   */
  inside(space: string): readonly string[] {
    return ['nsenter', `--net=${spaces}/${space}`];
  }

  pull(box: number): void {
    ip('-n', this.space, 'link', 'set', portOf(box), 'down');
  }

  plug(box: number): void {
    ip('-n', this.space, 'link', 'set', portOf(box), 'up');
  }

  /** The two do not reach each other any more, without a word to either: frames go to an address that nobody has. */
  cut(a: number, b: number): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const { space } = this.#box(from);
      const { address } = this.#box(to);
      ip('-n', space, 'neigh', 'replace', address, 'lladdr', '02:00:00:00:de:ad', 'nud', 'permanent', 'dev', 'eth0');
    }
  }

  join(a: number, b: number): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      ip('-n', this.#box(from).space, 'neigh', 'del', this.#box(to).address, 'dev', 'eth0');
    }
  }

  remove(): void {
    for (const space of [...this.boxes.map((box) => box.space), this.space]) {
      if (!existsSync(`${spaces}/${space}`)) continue;
      try {
        ip('netns', 'del', space);
      } catch {
        // Somebody was quicker.
      }
    }
  }

  #box(index: number): BoxPlace {
    const box = this.boxes[index];
    if (box === undefined) throw new Error(`there is no box ${index + 1}`);
    return box;
  }
}

/** Why no hall can be built on this machine, in words with a remedy; undefined: it can. */
export function whyNoHall(): string | undefined {
  if (process.platform !== 'linux') return `network namespaces are Linux; this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'network namespaces need root: run it with sudo';
  const trial = `${prefix}${process.pid.toString(36)}-try`;
  try {
    ip('netns', 'add', trial);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'there is no ip command: install the Debian package iproute2';
    return `network namespaces are not permitted here (${message.trim().split('\n').at(-1)}): a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN`;
  }
  try {
    ip('-n', trial, 'link', 'add', 'switch', 'type', 'bridge');
    ip('-n', trial, 'link', 'add', 'port1', 'type', 'veth', 'peer', 'name', 'port2');
    execFileSync('nsenter', [`--net=${spaces}/${trial}`, 'true'], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `no bridge or veth in a network namespace here: ${(error as Error).message.trim().split('\n').at(-1)}`;
  } finally {
    ip('netns', 'del', trial);
  }
}

/** Halls of runs that were killed. */
function sweep(): void {
  if (!existsSync(spaces)) return;
  for (const space of readdirSync(spaces)) {
    const owner = new RegExp(`^${prefix}([0-9a-z]+)-`).exec(space)?.[1];
    if (owner === undefined || existsSync(`/proc/${Number.parseInt(owner, 36)}`)) continue;
    try {
      ip('netns', 'del', space);
    } catch {
      // Somebody was quicker.
    }
  }
}

const portOf = (box: number): string => `port${box + 1}`;

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
