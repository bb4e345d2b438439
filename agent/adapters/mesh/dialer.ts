import { performance } from 'node:perf_hooks';
import { Backoff } from '../../base/backoff.ts';
import type { AgentIndex } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import type { MeshLog } from './admission.ts';
import type { Connection, Multiaddr } from './libp2p-types.ts';

const baseMs = 250;
const capMs = 5_000;
const dialTimeoutMs = 5_000;
/** As many as libp2p dials in parallel, so that none waits in its queue with its time running. */
export const dialsAtOnce = 32;
/** Who refuses us says so within a round trip. A handshake that ends later than this was slow, whatever ended it. */
const refusedWithinMs = 2_000;
/** Handshakes refused one after the other before it is said why: one alone may be a peer that was just restarted. */
const refusalsInARow = 2;
/** Who is called for a word is dialled for so long: a few probes of the failure detector. */
const wantedMs = 5_000;
/** Addresses learned per agent. A box has few; a liar may claim many. */
const learnedPerAgent = 4;

export interface DialerOptions {
  readonly random: Random;
  readonly log: MeshLog;
  readonly dial: (address: Multiaddr, signal: AbortSignal) => Promise<Connection>;
  readonly agentOf: (connection: Connection) => AgentIndex | undefined;
  readonly hasConnection: (agent: AgentIndex) => boolean;
  /** Whom a connection is kept to; others are dialled when `want` asks for them. All, unless said otherwise. */
  readonly keeps?: (agent: AgentIndex) => boolean;
  readonly handshakeFailed: (address: string) => void;
  /** Milliseconds, monotonic. */
  readonly clock?: () => number;
}

/**
 * Dials every address that should lead to a peer, again and again for as long as that peer is not connected: libp2p
 * stops after a few tries, and a box that was off for a week must still find its way back without anybody's help.
 * Jittered back-off up to 5 s keeps a hall from dialling in step after a power cut. At most `dialsAtOnce` are under way:
 * who answered before goes first, then who failed least, so that a thousand addresses behind which nobody is, each of
 * which takes its five seconds, do not keep us from a peer that was just restarted.
 *
 * In a large site most agents keep no connection to each other: those are dialled only when there is a word for them.
 *
 * An address from the configuration may name no key: who answers there is learned from the handshake.
 */
export class Dialer {
  readonly #options: DialerOptions;
  readonly #targets = new Map<string, Target>();
  /** Agents that somebody had something to say to, and until when they are dialled for it. */
  readonly #wanted = new Map<AgentIndex, number>();
  #dialling = 0;
  #stopped = false;
  dials = 0;
  failures = 0;

  constructor(options: DialerOptions) {
    this.#options = options;
  }

  /** An address from the configuration: kept for ever. */
  configure(address: Multiaddr, nowMs: number): void {
    this.#add(address, undefined, nowMs, true);
  }

  /**
   * The addresses that an agent gives of itself now, or that were discovered: they replace what it gave before, so
   * that a box with a new lease is not looked for at its old ones. Used only where none was configured.
   */
  learn(agent: AgentIndex, addresses: readonly Multiaddr[], nowMs: number): void {
    const own = [...this.#targets].filter(([, target]) => target.agent === agent);
    if (addresses.length === 0 || own.some(([, target]) => target.configured)) return;
    const wanted = new Map(addresses.slice(0, learnedPerAgent).map((address) => [bare(address), address]));
    for (const [key] of own) if (!wanted.has(key)) this.#targets.delete(key);
    for (const address of wanted.values()) this.#add(address, agent, nowMs, false);
  }

  /** Where this agent can be dialled, as far as known: configured addresses first. */
  addressesOf(agent: AgentIndex): readonly string[] {
    const own = [...this.#targets.values()].filter((target) => target.agent === agent);
    return own.sort((a, b) => Number(b.configured) - Number(a.configured)).map(({ text }) => text);
  }

  /** There is something to say to an agent without a connection: it is dialled now, and for some seconds from now on. */
  want(agent: AgentIndex, nowMs: number): void {
    if (this.#keeps(agent)) return;
    const isNew = (this.#wanted.get(agent) ?? 0) < nowMs;
    this.#wanted.set(agent, nowMs + wantedMs);
    if (isNew) this.tick(nowMs);
  }

  #keeps(agent: AgentIndex): boolean {
    return this.#options.keeps?.(agent) ?? true;
  }

  /** An address behind which nobody is known yet is dialled to learn who it is. */
  #isWanted(agent: AgentIndex | undefined, nowMs: number): boolean {
    return agent === undefined || this.#keeps(agent) || nowMs < (this.#wanted.get(agent) ?? 0);
  }

  /** Call a few times a second. */
  tick(nowMs: number): void {
    if (this.#stopped) return;
    const due: Target[] = [];
    for (const target of this.#targets.values()) {
      if (target.dialling || target.isSelf || nowMs < target.nextAt) continue;
      if (!this.#isWanted(target.agent, nowMs)) continue;
      if (target.agent !== undefined && this.#options.hasConnection(target.agent)) {
        target.backoff.reset();
        target.failures = 0;
        // A moment's grace after a loss: the peer may dial us just now.
        target.nextAt = nowMs + this.#options.random.between(0, baseMs);
        continue;
      }
      due.push(target);
    }
    if (due.length > dialsAtOnce - this.#dialling) due.sort(byHope);
    for (const target of due.slice(0, dialsAtOnce - this.#dialling)) {
      this.#begin(target);
      target.nextAt = nowMs + target.backoff.next();
    }
  }

  /** Dials under way. */
  get dialling(): number {
    return this.#dialling;
  }

  #begin(target: Target): void {
    target.dialling = true;
    this.#dialling++;
    this.dials++;
    const clock = this.#options.clock ?? (() => performance.now());
    const beganAt = clock();
    const ended = (): void => {
      target.dialling = false;
      this.#dialling--;
    };
    this.#dial(target).then(ended, (cause: Error) => {
      ended();
      this.failures++;
      target.failures++;
      this.#failed(target, cause, clock() - beganAt);
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  async #dial(target: Target): Promise<void> {
    const connection = await this.#options.dial(target.address, AbortSignal.timeout(dialTimeoutMs));
    const agent = this.#options.agentOf(connection);
    if (agent !== undefined) target.agent = agent;
    target.lastComplaint = '';
    target.refusals = 0;
    target.failures = 0;
  }

  #failed(target: Target, cause: Error, tookMs: number): void {
    if (cause.name === 'InvalidPeerIdError' || /dial self/i.test(cause.message)) {
      target.isSelf = true;
      return;
    }
    // The TCP connection stood and the talk ended before anybody was named.
    const isHandshake = /Encrypt|Muxer|UnexpectedEOF|StreamReset|StreamState|ConnectionClosed/.test(cause.name);
    const isSlow = tookMs >= refusedWithinMs || /Timeout|Abort/.test(cause.name);
    target.refusals = isHandshake && !isSlow ? target.refusals + 1 : 0;
    if (target.refusals > 0) this.#options.handshakeFailed(target.text);
    const { warn, info, debug } = this.#options.log;
    if (target.refusals >= refusalsInARow) {
      // Nobody can tell why from here, but it is nearly always this, and a person should not have to know what an
      // EncryptionFailedError is.
      const why = 'most likely its mesh key (mesh.psk) differs from ours, or our key is not on its list of agents';
      return this.#complain(target, cause, `${target.text} ended the handshake: ${why}`, warn);
    }
    if (isHandshake && isSlow) {
      const text = `${target.text} takes longer than ${refusedWithinMs / 1_000} s for a handshake: it, we or the line between are slow`;
      return this.#complain(target, cause, text, info);
    }
    if (isHandshake) this.#complain(target, cause, `${target.text} ended a handshake`, debug);
    else this.#complain(target, cause, `${target.text} does not answer: ${cause.message}`, debug);
  }

  /** The same words about the same address once, until it answers. */
  #complain(target: Target, cause: Error, text: string, say: (fields: object, text: string) => void): void {
    if (text === target.lastComplaint) return;
    target.lastComplaint = text;
    say.call(this.#options.log, { address: target.text, error: cause.name }, text);
  }

  #add(address: Multiaddr, agent: AgentIndex | undefined, nowMs: number, configured: boolean): void {
    const key = bare(address);
    const known = this.#targets.get(key);
    if (known !== undefined) {
      if (agent !== undefined) known.agent ??= agent;
      return;
    }
    this.#targets.set(key, {
      address,
      text: key,
      configured,
      agent,
      backoff: new Backoff(baseMs, capMs, this.#options.random),
      nextAt: nowMs + this.#options.random.between(0, baseMs),
      dialling: false,
      isSelf: false,
      lastComplaint: '',
      refusals: 0,
      failures: 0,
    });
  }
}

interface Target {
  readonly address: Multiaddr;
  readonly text: string;
  readonly configured: boolean;
  readonly backoff: Backoff;
  agent: AgentIndex | undefined;
  nextAt: number;
  dialling: boolean;
  isSelf: boolean;
  lastComplaint: string;
  /** Handshakes that the other side ended at once, one after the other. */
  refusals: number;
  /** Dials in a row that led nowhere. */
  failures: number;
}

const byHope = (a: Target, b: Target): number =>
  Number(b.agent !== undefined) - Number(a.agent !== undefined) || a.failures - b.failures || a.nextAt - b.nextAt;

const bare = (address: Multiaddr): string => address.toString().replace(/\/p2p\/[^/]+$/, '');
