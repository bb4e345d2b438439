import type { Random } from '../../agent/base/random.ts';
import type { World } from '../world/world.ts';

export type Sight = 'connected' | 'lost' | 'not-heard';

/**
 * The broker, the coordinator behind it, and each box's line to them, as the report link of production lives them: a
 * closed socket is known at once, a silent one after the keepalive (pings every 10 s, given up 5 s later) or half a
 * second after somebody asked, a coordinator that leaves a living broker by its Will. Who lost it tries again with jitter.
 */
export class Broker {
  server: 'up' | 'closed' | 'silent' | 'coordinator-away' = 'up';
  readonly #world: World;
  readonly #random: Random;
  readonly #cut: boolean[];
  readonly #sights: Sight[];
  readonly #epochs: number[];
  /** Told of every change that an agent learns. */
  onSight: (agent: number, sight: Sight, at: number) => void = () => {};

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    const size = world.boxes.length;
    this.#cut = Array.from({ length: size }, () => false);
    this.#sights = Array.from({ length: size }, () => 'lost');
    this.#epochs = Array.from({ length: size }, () => 0);
  }

  sight(agent: number): Sight {
    return this.#sights[agent]!;
  }

  /** Whether a session can live, whatever the agent believes. */
  works(agent: number): boolean {
    return this.server === 'up' && !this.#cut[agent];
  }

  started(agent: number): void {
    this.#sights[agent] = 'lost';
    this.#later(agent, this.#random.between(20, 300), () => this.#connect(agent));
  }

  ended(agent: number): void {
    this.#epochs[agent]!++;
    this.#sights[agent] = 'lost';
  }

  turn(server: Broker['server']): void {
    this.server = server;
    for (let agent = 0; agent < this.#cut.length; agent++) this.#disturbed(agent, server === 'silent');
  }

  /** The box's own line; `silent`: no socket is closed by it. */
  cut(agent: number, silent: boolean): void {
    this.#cut[agent] = true;
    this.#disturbed(agent, silent);
  }

  heal(): void {
    this.server = 'up';
    this.healLines(this.#cut.map((_, agent) => agent));
  }

  healLines(agents: readonly number[]): void {
    for (const agent of agents) {
      this.#cut[agent] = false;
      this.#disturbed(agent, false);
    }
  }

  /** The agent doubts its line: a ping now, and half a second of patience; or a try at once where there is none. */
  check(agent: number): void {
    if (this.#sights[agent] === 'connected') {
      if (!this.works(agent)) this.#later(agent, checkMs, () => this.#notice(agent));
    } else this.#later(agent, this.#random.between(5, 30), () => this.#connect(agent));
  }

  #disturbed(agent: number, silent: boolean): void {
    if (!this.#world.boxes[agent]!.up) return;
    if (this.works(agent)) {
      if (this.#sights[agent] !== 'connected') {
        this.#later(agent, this.#random.between(100, 2_000), () => this.#connect(agent));
      }
      return;
    }
    if (this.#sights[agent] !== 'connected') return;
    const ms = silent ? this.#random.between(keepaliveMs / 2, 1.5 * keepaliveMs) : this.#random.between(1, 30);
    this.#later(agent, ms, () => this.#notice(agent));
  }

  #notice(agent: number): void {
    if (this.#sights[agent] !== 'connected' || this.works(agent)) return;
    const away = this.server === 'coordinator-away' && !this.#cut[agent];
    this.#learn(agent, away ? 'not-heard' : 'lost');
  }

  #connect(agent: number): void {
    if (this.#sights[agent] === 'connected') return;
    if (this.works(agent)) this.#learn(agent, 'connected');
    else this.#later(agent, this.#random.between(500, 2_000), () => this.#connect(agent));
  }

  #learn(agent: number, sight: Sight): void {
    const box = this.#world.boxes[agent]!;
    if (!box.up) return;
    if (box.pausedUntil > this.#world.now) {
      // A frozen process reads of it when it thaws.
      this.#later(agent, box.pausedUntil - this.#world.now + 1, () => this.#learn(agent, sight));
      return;
    }
    if (this.#sights[agent] === sight) return;
    this.#sights[agent] = sight;
    this.onSight(agent, sight, this.#world.now);
    box.driver?.deliver({ kind: 'coordinator-changed', state: sight });
    if (sight !== 'connected') this.#later(agent, this.#random.between(500, 2_000), () => this.#connect(agent));
  }

  #later(agent: number, ms: number, act: () => void): void {
    const epoch = this.#epochs[agent]!;
    this.#world.at(this.#world.now + ms, () => {
      if (this.#epochs[agent] === epoch) act();
    });
  }
}

const keepaliveMs = 10_000;
const checkMs = 500;
