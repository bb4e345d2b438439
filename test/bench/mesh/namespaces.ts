import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';

/**
 * A switch and N boxes: one network namespace each, and one for the bridge between them; nothing of the machine's own
 * network is touched. Box 1 … N have the addresses 10.77.0.1 … N on `eth0`; the other end of the cable is `v1` … `vN` on
 * the bridge.
 *
 * Names carry the number of this process, so that what an earlier run left behind (it was killed with -9) is known and
 * taken away by the next one.
 */
export class Network {
  readonly size: number;
  readonly #prefix = `${family}${process.pid}-`;
  readonly #evenPace: boolean;
  #isUp = false;

  /** `evenPace`: the boxes send what was lost again at an even pace, as `deploy/90-millwright.conf` has it. */
  constructor(size: number, evenPace = false) {
    this.size = size;
    this.#evenPace = evenPace;
  }

  address(box: number): string {
    return `10.77.0.${box}`;
  }

  up(): void {
    removeLeftovers();
    this.#isUp = true;
    ip(['netns', 'add', this.#switch]);
    for (let box = 1; box <= this.size; box++) ip(['netns', 'add', this.#box(box)]);
    const cables = Array.from({ length: this.size }, (_, i) => i + 1).flatMap((box) => [
      `link add v${box} type veth peer name eth0 netns ${this.#box(box)}`,
      `link set v${box} master br0 up`,
    ]);
    batch(this.#switch, ['link add br0 type bridge', 'link set br0 up', ...cables]);
    for (let box = 1; box <= this.size; box++) {
      batch(this.#box(box), [
        'link set lo up',
        `address add ${this.address(box)}/24 dev eth0`,
        // No neighbour discovery of IPv6 among the bytes that are counted.
        'link set eth0 addrgenmode none',
        'link set eth0 up',
      ]);
      if (this.#evenPace) ip(['netns', 'exec', this.#box(box), 'sysctl', '-qw', 'net.ipv4.tcp_thin_linear_timeouts=1']);
    }
  }

  /** What starts a program on a box; it becomes that program, so that its number is the child's. */
  on(box: number, command: readonly string[]): readonly [program: string, ...args: string[]] {
    return ['ip', 'netns', 'exec', this.#box(box), ...command];
  }

  /** Pulls the cable of a box out of the switch, or puts it back: no carrier at either end. */
  cable(box: number, isIn: boolean): void {
    ip(['-n', this.#switch, 'link', 'set', `v${box}`, isIn ? 'up' : 'down']);
  }

  /** This share of all packets that arrive at any box is lost, each by chance; 0 ends it. */
  loss(share: number): void {
    for (let box = 1; box <= this.size; box++) {
      const table = ['netns', 'exec', this.#box(box), 'iptables', '-w'];
      ip([...table, '-F', 'INPUT']);
      if (share === 0) continue;
      // A box speaks to itself without a cable.
      ip([
        ...table,
        ...['-A', 'INPUT', '!', '-i', 'lo', '-m', 'statistic', '--mode', 'random'],
        ...['--probability', String(share), '-j', 'DROP'],
      ]);
    }
  }

  /** What each box has sent since it was plugged in, frames whole; box 1 is at index 0. */
  sent(): readonly { readonly bytes: number; readonly packets: number }[] {
    const links = JSON.parse(ip(['-n', this.#switch, '-s', '-j', 'link', 'show', 'type', 'veth'])) as readonly {
      ifname?: string;
      stats64?: { rx: { bytes: number; packets: number } };
    }[];
    return Array.from({ length: this.size }, (_, i) => {
      const stats = links.find(({ ifname }) => ifname === `v${i + 1}`)?.stats64;
      if (stats === undefined) throw new Error(`no counters of v${i + 1}`);
      return { bytes: stats.rx.bytes, packets: stats.rx.packets };
    });
  }

  /** Takes everything away; what still runs in there has to be ended before. Idempotent, and works while a process exits. */
  down(): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    for (let box = 1; box <= this.size; box++) spawnSync('ip', ['netns', 'del', this.#box(box)]);
    spawnSync('ip', ['netns', 'del', this.#switch]);
  }

  get #switch(): string {
    return `${this.#prefix}switch`;
  }

  #box(box: number): string {
    return `${this.#prefix}box-${box}`;
  }
}

const family = 'mwbench-';

function removeLeftovers(): void {
  if (!existsSync('/run/netns')) return;
  for (const name of readdirSync('/run/netns')) {
    const pid = new RegExp(`^${family}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) spawnSync('ip', ['netns', 'del', name]);
  }
}

function ip(args: readonly string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync('ip', args, { encoding: 'utf8', ...(input ? { input } : {}) });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

const batch = (namespace: string, lines: readonly string[]): string =>
  ip(['-n', namespace, '-batch', '-'], `${lines.join('\n')}\n`);

/** Why no network can be made here, or undefined. */
export function whyNoNetwork(): string | undefined {
  if (process.platform !== 'linux') return 'the trial needs the network namespaces of Linux';
  if (process.getuid?.() !== 0) {
    return 'the trial needs root: it makes network namespaces of its own. Remedy: sudo, or a container with --privileged';
  }
  const probe = `${family}${process.pid}-probe`;
  const made = spawnSync('ip', ['netns', 'add', probe], { encoding: 'utf8' });
  if (made.error) return 'there is no `ip`. Remedy: apt-get install iproute2';
  if (made.status !== 0) {
    return `no network namespace can be made (${made.stderr.trim()}). Remedy: in a container, run it with --privileged`;
  }
  try {
    const rule = ['-w', '-A', 'INPUT', '-m', 'statistic', '--mode', 'random', '--probability', '0.1', '-j', 'DROP'];
    const lost = spawnSync('ip', ['netns', 'exec', probe, 'iptables', ...rule], { encoding: 'utf8' });
    if (lost.status !== 0) {
      return `packets cannot be lost here (${lost.stderr.trim()}). Remedy: apt-get install iptables; the kernel needs xt_statistic`;
    }
  } finally {
    spawnSync('ip', ['netns', 'del', probe]);
  }
  return undefined;
}
