import type { World } from '../world/world.ts';
import type { Broker } from './broker.ts';
import { switchOf } from './site.ts';

/**
 * What is really the matter, from the wires and processes themselves: the directed delivery graph (an edge is up when at
 * least half of the messages of the last second arrive within the probe's time-out), stalls of the event loops, and
 * broker sessions. It knows nothing of probes and shares no code with the verdicts that it judges.
 */
export class Truth {
  readonly #world: World;
  readonly #broker: Broker;
  readonly #timeoutMs: number;
  /** Per box, the last samples: handles a message within the time-out? Newest last. */
  readonly #prompt: boolean[][];
  /** Per box, when its loop last stalled by more than half the time-out. */
  readonly #stalledAt: number[];
  /** Per pair: since when the observer cannot reach the other, by any path; undefined while it can. */
  readonly #lostSince: (number | undefined)[];
  readonly #size: number;
  readonly #twoWay: Uint8Array;
  readonly #redialled = new Set<number>();

  constructor(world: World, broker: Broker, timeoutMs: number) {
    this.#world = world;
    this.#broker = broker;
    this.#timeoutMs = timeoutMs;
    this.#size = world.boxes.length;
    this.#prompt = world.boxes.map(() => []);
    this.#stalledAt = world.boxes.map(() => Number.NEGATIVE_INFINITY);
    this.#lostSince = Array.from({ length: this.#size * this.#size }, () => undefined);
    this.#twoWay = new Uint8Array(this.#size * this.#size);
  }

  onStallEnd: (agent: number) => void = () => {};

  /** A box froze for that long; told when it thaws. */
  stalled(agent: number, ms: number): void {
    if (ms > this.#timeoutMs / 2) this.#stalledAt[agent] = this.#world.now;
    this.onStallEnd(agent);
  }

  /** A new episode: the site was at rest. */
  reset(): void {
    this.#redialled.clear();
    this.#stalledAt.fill(Number.NEGATIVE_INFINITY);
    for (const samples of this.#prompt) {
      samples.length = 0;
      for (let i = 0; i < windowSamples; i++) samples.push(true);
    }
  }

  /** Looks at the site; to be called every `sampleMs`. */
  sample(): void {
    const { boxes, now } = this.#world;
    for (const box of boxes) {
      const samples = this.#prompt[box.index]!;
      samples.push(box.up && box.pausedUntil - now <= this.#timeoutMs);
      if (samples.length > windowSamples) samples.shift();
    }
    const up = boxes.map((box) => {
      const samples = this.#prompt[box.index]!;
      return box.up && samples.filter(Boolean).length * 2 >= samples.length;
    });
    const size = this.#size;
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) {
        this.#twoWay[a * size + b] = a !== b && up[a] && up[b] && this.#carries(a, b) ? 1 : 0;
      }
    }
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) {
        if (a === b) continue;
        const pair = a * size + b;
        if (this.#reaches(a, b)) this.#lostSince[pair] = undefined;
        else this.#lostSince[pair] ??= now;
      }
    }
  }

  /** Both wires are whole; a connection that is still being made again is noted, and nobody is blamed for it. */
  #carries(a: number, b: number): boolean {
    const { network, channels } = this.#world;
    const isWhole = network.isWhole(a, b);
    if (isWhole && !(channels.isConnected(a, b) && channels.isConnected(b, a))) this.#redialled.add(a * this.#size + b);
    return isWhole;
  }

  /** The wires were whole, but for a while of this episode there was no connection on them. */
  wasRedialled(a: number, b: number): boolean {
    return this.#redialled.has(a * this.#size + b);
  }

  #reaches(a: number, b: number): boolean {
    const size = this.#size;
    if (this.#twoWay[a * size + b]) return true;
    for (let via = 0; via < size; via++) {
      if (this.#twoWay[a * size + via] && this.#twoWay[via * size + b]) return true;
    }
    return false;
  }

  /** Frozen or down: it has no say. */
  isMute(agent: number): boolean {
    const box = this.#world.boxes[agent]!;
    return !box.up || box.pausedUntil > this.#world.now;
  }

  /** True, even where the observer's own trouble explains all that it sees. */
  alsoTrue(): string[] {
    const without = this.#world.boxes.filter((box) => !this.#broker.works(box.index)).length;
    return without * 2 > this.#size ? ['coordinator'] : [];
  }

  /** The fewest statements that explain what this agent can and cannot reach. */
  explain(observer: number): string[] {
    const size = this.#size;
    const all = this.#world.boxes.map((box) => box.index).filter((agent) => agent !== observer);
    const isSlow = this.#world.now - this.#stalledAt[observer]! <= slowWithinMs;
    const slow = isSlow ? ['i-am-slow'] : [];
    const direct = all.filter((agent) => this.#twoWay[observer * size + agent]);
    if (direct.length === 0) return isSlow ? slow : ['i-am-cut'];

    const lost = all.filter((agent) => this.#lostSince[observer * size + agent] !== undefined);
    const links = all.filter((agent) => !direct.includes(agent) && !lost.includes(agent));
    const statements = [...slow, ...links.map((agent) => `link:${agent}`)];
    const here = switchOf(observer);
    const outside = all.filter((agent) => switchOf(agent) !== here);
    if (outside.length > 0 && outside.every((agent) => lost.includes(agent))) {
      return [...statements, `segment:${here}`].sort();
    }
    const places = new Map<string, number[]>();
    for (const agent of lost) {
      const place = switchOf(agent);
      places.set(place, [...(places.get(place) ?? []), agent]);
    }
    for (const [place, members] of places) {
      const times = members.map((agent) => this.#lostSince[observer * size + agent]!).sort((x, y) => x - y);
      const together = times.some((at, i) => i > 0 && at - times[i - 1]! <= 2_000);
      if (together) statements.push(`segment:${place}`);
      else statements.push(...members.map((agent) => `gone:${agent}`));
    }
    const component = [observer, ...all.filter((agent) => !lost.includes(agent))];
    const without = component.filter((agent) => !this.#broker.works(agent)).length;
    if (without * 2 > component.length) statements.push('coordinator');
    else if (!this.#broker.works(observer)) statements.push('my-uplink');
    return statements.sort();
  }
}

export const sampleMs = 100;
const windowSamples = 10;
const slowWithinMs = 1_500;
