import { Random } from '../../agent/base/random.ts';
import type { Instant } from '../../agent/base/time.ts';
import { AgentCore, type AgentCoreOptions } from '../../agent/core/agent-core.ts';
import type { Effect } from '../../agent/core/effect.ts';
import type { Input } from '../../agent/core/input.ts';
import type { MembershipOptions } from '../../agent/core/membership/options.ts';
import { statementKey } from '../../agent/core/verdict/statement.ts';
import { calmNetwork } from '../world/network.ts';
import { World } from '../world/world.ts';
import { Broker } from './broker.ts';
import { drawFault, type Fault, type FaultKind, faultKinds } from './faults.ts';
import { type Episode, emptyTally, type Judgement, type ScoredClass, score, type Tally } from './score.ts';
import { hall } from './site.ts';
import { sampleMs, Truth } from './truth.ts';

/**
 * Verdicts on trial. One world lives through many episodes: something breaks for at least three seconds, everybody says what
 * he thinks is the matter, it is healed, and the next one begins when nobody states anything any more.
 *
 * Judged is every agent that is neither down nor frozen, each by what *it* can observe: the deadline is three seconds
 * after the first observable change (the onset; for a failed path the observer's first own ping along it, for a line to
 * the broker the moment the session is known lost; for a stalled loop the end of the first stall). Who had none before
 * the episode ended less three seconds is counted as unobservable. Right: the set at the deadline equals the minimal
 * explanation, and no other statement stood for half a second or more at any time since the onset.
 */
export interface TrialOptions {
  readonly seed: number;
  readonly agents: number;
  /** Judged episodes wanted of each class. */
  readonly episodes: number;
  /** Only these kinds of episodes. */
  readonly kinds?: readonly EpisodeKind[];
  /** Share of messages lost, drawn per world. */
  readonly losses?: readonly number[];
  readonly membership?: Partial<MembershipOptions>;
  /** A core with a planted fault, or without a safeguard. */
  readonly core?: (options: AgentCoreOptions, spy: Spy) => AgentCore;
  /** Told of each episode, for whoever looks into one. */
  readonly judged?: (judgements: readonly Judgement[], about: Episode) => void;
  readonly progress?: (done: number, wanted: number) => void;
  readonly cpu?: () => number;
  /** True: end with what there is. */
  readonly isOver?: () => boolean;
}

export type EpisodeKind = FaultKind | 'mixed' | 'nothing';
export const episodeKinds: readonly EpisodeKind[] = [...faultKinds, 'mixed', 'nothing'];

/** What the trial must know of a core besides its observations. */
export interface Spy {
  pinged(from: number, to: number): void;
  uplinkChecked(agent: number): void;
}

export class SpiedCore extends AgentCore {
  readonly #spy: Spy;

  constructor(options: AgentCoreOptions, spy: Spy) {
    super(options);
    this.#spy = spy;
  }

  override step(now: Instant, input: Input): readonly Effect[] {
    const effects = super.step(now, input);
    for (const effect of effects) {
      if (effect.kind === 'send') {
        if (effect.message.kind === 'ping') this.#spy.pinged(this.identity.self, effect.to);
      } else if (effect.kind === 'check-uplink') this.#spy.uplinkChecked(this.identity.self);
    }
    return effects;
  }
}

export function runTrial(options: TrialOptions): Tally {
  const tally = emptyTally();
  const kinds = options.kinds ?? episodeKinds;
  const wanted = options.episodes * kinds.length;
  let number = 0;
  const done = () =>
    kinds.reduce((n, kind) => n + Math.min(options.episodes, tally.classes[kind as ScoredClass].episodes), 0);
  const began = options.cpu?.() ?? 0;
  const isDone = () => done() >= wanted || options.isOver?.() === true;
  while (!isDone()) {
    number++;
    const random = new Random(options.seed, `world ${number}`);
    const trial = new Trial(options, number, random, tally);
    for (let episode = 0; episode < episodesPerWorld && !isDone(); episode++) {
      // The one that has the fewest; each lacks something of its own kind when it is asked for.
      const kind = kinds.reduce((least, next) =>
        tally.classes[next as ScoredClass].episodes < tally.classes[least as ScoredClass].episodes ? next : least,
      );
      if (!trial.play(kind, episode)) break;
      options.progress?.(done(), wanted);
    }
    tally.agentSeconds += (trial.world.now / 1_000) * options.agents;
    tally.events += trial.world.events;
  }
  tally.cpuSeconds += (options.cpu?.() ?? 0) - began;
  return tally;
}

const episodesPerWorld = 40;
const deadlineMs = 3_000;
const patienceMs = 90_000;
const strangersMs = 10_000;

class Trial {
  readonly world: World;
  readonly #broker: Broker;
  readonly #truth: Truth;
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #number: number;
  readonly #judged: TrialOptions['judged'];
  /** Per agent, what it states now, and since the episode's onset. */
  readonly #stated: (readonly string[])[];
  #history: { at: number; keys: readonly string[] }[][] = [];
  #onset = 0;
  #pings = new Map<number, number>();
  #sights: (number | undefined)[] = [];
  #stallEnds: (number | undefined)[] = [];

  constructor(options: TrialOptions, number: number, random: Random, tally: Tally) {
    this.#random = random;
    this.#tally = tally;
    this.#number = number;
    this.#judged = options.judged;
    const losses = options.losses ?? [0, 0, 0.01, 0.05];
    const plan = hall(options.agents, random.fork('site'), options.membership);
    this.#stated = plan.agents.map(() => []);
    const spy: Spy = {
      pinged: (from, to) => {
        const pair = from * plan.agents.length + to;
        if (!this.#pings.has(pair)) this.#pings.set(pair, this.world.now);
      },
      uplinkChecked: (agent) => this.#broker.check(agent),
    };
    const core = options.core ?? ((parts, watching) => new SpiedCore(parts, watching));
    this.world = new World({
      plan,
      seed: random.uint32(),
      network: { ...calmNetwork, loss: losses[random.below(losses.length)]! },
      clockDrift: 0.0001,
      core: (parts) => core(parts, spy),
      watch: {
        observed: (at, agent, observation) => {
          if (observation.kind !== 'verdict-changed') return;
          const keys = observation.statements.map(statementKey).sort();
          this.#stated[agent] = keys;
          this.#history[agent]?.push({ at, keys });
        },
      },
    });
    this.#broker = new Broker(this.world, random.fork('broker'));
    this.#broker.onSight = (agent, sight, at) => {
      if (sight !== 'connected') this.#sights[agent] ??= at;
    };
    this.#truth = new Truth(this.world, this.#broker, plan.membership.probeIntervalMs);
    for (const box of this.world.boxes) {
      this.world.at(random.between(0, 200), () => {
        this.world.start(box.index);
        this.#broker.started(box.index);
      });
    }
    this.world.run(1_000);
    this.#settle();
  }

  /** One episode. False when the world did not come to rest after it. */
  play(kind: EpisodeKind, episode: number): boolean {
    const { world } = this;
    const random = this.#random.fork(`episode ${episode}`);
    const faults = this.#draw(kind, random);
    // Where in its rhythm of probes the site is hit is chance; but it is hit at rest.
    do world.run(world.now + random.between(0, 400));
    while (this.#stated.some((keys) => keys.length > 0));
    this.#onset = world.now;
    this.#history = this.#stated.map((keys) => [{ at: world.now, keys }]);
    this.#pings = new Map();
    this.#sights = this.#stated.map(() => undefined);
    this.#stallEnds = this.#stated.map(() => undefined);
    this.#truth.onStallEnd = (agent) => {
      this.#stallEnds[agent] ??= world.now;
    };
    this.#truth.reset();
    this.#truth.sample();
    const lasts = Math.max(3_400, ...faults.map((fault) => fault.lastsMs));
    const end = this.#onset + lasts;
    for (const fault of faults) fault.begin(lasts);
    while (world.now < end) {
      world.run(Math.min(end, world.now + sampleMs));
      this.#truth.sample();
    }
    const judgements = this.#judge(end, faults);
    const text = `${kind}: ${faults.map((fault) => fault.text).join('; ') || 'nothing'}`;
    const about = { world: this.#number, episode, fault: text, onset: this.#onset };
    score(this.#tally, judgements, about);
    this.#judged?.(judgements, about);
    this.#history = [];
    for (const fault of faults) fault.heal();
    return this.#settle();
  }

  #draw(kind: EpisodeKind, random: Random): Fault[] {
    const stage = { world: this.world, broker: this.#broker, truth: this.#truth, random };
    const taken = new Set<string>();
    if (kind === 'nothing') return [];
    if (kind !== 'mixed') return [drawFault(kind, stage, taken)];
    const first = random.below(faultKinds.length);
    const second = (first + 1 + random.below(faultKinds.length - 1)) % faultKinds.length;
    return [first, second].map((at) => drawFault(faultKinds[at]!, stage, taken));
  }

  #judge(end: number, faults: readonly Fault[]): Judgement[] {
    const judgements: Judgement[] = [];
    let anyUnobservable = false;
    const alsoTrue = this.#truth.alsoTrue();
    for (const { index: observer, up } of this.world.boxes) {
      if (!up || this.#truth.isMute(observer)) continue;
      const expected = this.#truth.explain(observer);
      const seen = this.#observableAt(observer, expected);
      if (seen === undefined || seen + deadlineMs > end) {
        this.#tally.unobservable++;
        anyUnobservable = true;
        continue;
      }
      const deadline = seen + deadlineMs;
      const stated = new Set(this.#history[observer]!.flatMap(({ keys }) => keys));
      if (
        [...stated].some((key) => key.startsWith('link:') && this.#truth.wasRedialled(observer, Number(key.slice(5))))
      ) {
        this.#tally.redialled++;
        continue;
      }
      const history = this.#history[observer]!.filter(({ at }) => at <= deadline);
      const said = history.at(-1)!.keys;
      const wanted = expected.join(' ');
      let rightAt: number | undefined;
      for (const { at, keys } of history) {
        if (keys.join(' ') !== wanted) rightAt = undefined;
        else rightAt ??= at;
      }
      judgements.push({
        observer,
        expected,
        said,
        ...longestWrong(history, [...expected, ...alsoTrue], deadline),
        verdictMs: rightAt === undefined ? undefined : Math.max(0, rightAt - seen),
        sinceOnsetMs: rightAt === undefined ? undefined : rightAt - this.#onset,
      });
    }
    if (anyUnobservable && faults.length > 0) this.#tally.unobservableEpisodes++;
    return judgements;
  }

  /** When the last of what there is to explain first changed something that this observer can notice. */
  #observableAt(observer: number, expected: readonly string[]): number | undefined {
    let latest = this.#onset;
    for (const key of expected) {
      const [kind, subject] = key.split(':');
      let at: number | undefined = this.#onset;
      if (kind === 'link') at = this.#pings.get(observer * this.#stated.length + Number(subject));
      else if (kind === 'my-uplink') at = this.#sights[observer];
      else if (kind === 'coordinator') at = Math.min(...this.#sights.map((seen) => seen ?? Number.POSITIVE_INFINITY));
      else if (kind === 'i-am-slow') at = this.#stallEnds[observer];
      if (at === undefined || !Number.isFinite(at)) return undefined;
      latest = Math.max(latest, at);
    }
    return latest;
  }

  /** Until everybody holds everybody alive and nobody states anything. */
  #settle(): boolean {
    const { world } = this;
    const began = world.now;
    // A greeting that got lost may leave two strangers to each other for long; that is not what is tried here.
    const isHeld = (state: string | undefined) =>
      state === 'alive' || (state === 'unknown' && world.now > began + strangersMs);
    const isCalm = () =>
      this.#stated.every((keys) => keys.length === 0) &&
      world.boxes.every(
        (box) =>
          box.up &&
          box.pausedUntil <= world.now &&
          this.#broker.sight(box.index) === 'connected' &&
          world.boxes.every((other) => isHeld(box.core?.membership.state(other.index))),
      );
    while (!isCalm()) {
      if (world.now > began + patienceMs) {
        this.#tally.neverRecovered++;
        return false;
      }
      world.run(world.now + 100);
    }
    if (this.#onset > 0) this.#tally.recoveryMs.push(world.now - began);
    // Whatever a probe under way still has to say.
    world.run(world.now + 500);
    return true;
  }
}

/** The longest time that a statement outside the explanation stood. */
function longestWrong(
  history: readonly { at: number; keys: readonly string[] }[],
  expected: readonly string[],
  deadline: number,
): { wrongMs: number; wrongKey: string } {
  const since = new Map<string, number>();
  let wrongMs = 0;
  let wrongKey = '';
  const close = (key: string, at: number) => {
    const ms = at - since.get(key)!;
    if (ms > wrongMs) [wrongMs, wrongKey] = [ms, key];
    since.delete(key);
  };
  for (const { at, keys } of history) {
    for (const key of [...since.keys()]) if (!keys.includes(key)) close(key, at);
    for (const key of keys) if (!expected.includes(key) && !since.has(key)) since.set(key, at);
  }
  for (const key of [...since.keys()]) close(key, deadline);
  return { wrongMs, wrongKey };
}
