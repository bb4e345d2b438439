import type { Effect } from '../../agent/core/effect.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import type { MemberUpdate } from '../../agent/core/membership/member.ts';

/**
 * A hash chained over everything that happened, 64 bits in two 32-bit lanes. It is no seal against forgers; it tells
 * two runs apart: the same seed and code give the same hash, and one changed number or another order gives another.
 *
 * What happens a million times a second is mixed number by number. Inputs are taken in whole. Of effects that come back
 * as somebody's input (a message) or lead to nothing (a report) the head is enough: whatever they do shows in what follows.
 */
export class TraceHash {
  #h1 = 0x9e37_79b9 | 0;
  #h2 = 0x85eb_ca6b | 0;
  #events = 0;

  get events(): number {
    return this.#events;
  }

  /** 16 hex digits. */
  get hex(): string {
    const half = (h: number) => (avalanche(h) >>> 0).toString(16).padStart(8, '0');
    return half(this.#h1 ^ this.#events) + half(this.#h2);
  }

  input(agent: number, at: number, input: Input): void {
    this.#events++;
    this.#float(at);
    switch (input.kind) {
      case 'ticked':
        this.#mix(agent, 1);
        this.#float(input.lateMs);
        return;
      case 'message-received':
        this.#mix(agent, (input.from << 4) | 2);
        this.#message(input.message);
        return;
      case 'peer-connected':
        this.#mix(agent, (input.peer << 4) | 3);
        return;
      case 'peer-disconnected':
        this.#mix(agent, (input.peer << 4) | 4);
        return;
      case 'digest-received': {
        const { digest } = input;
        this.#mix(agent, (digest.agent << 4) | 5);
        this.#mix(digest.bootCounter, digest.sequence);
        this.#mix(digest.checks.length * 64 + digest.judges.length, digest.duties.length * 64 + digest.localHealth);
        return;
      }
      default:
        this.#mix(agent, 6);
        this.#any(input);
    }
  }

  effect(agent: number, effect: Effect): void {
    this.#events++;
    switch (effect.kind) {
      case 'send':
        this.#mix(agent, (effect.to << 4) | 7);
        this.#mix(kindCode(effect.message.kind), 'seq' in effect.message ? effect.message.seq : -1);
        return;
      case 'publish':
        this.#mix(agent, 8);
        this.#mix(effect.digest.bootCounter, effect.digest.sequence);
        return;
      case 'report':
        this.#mix(agent, 9);
        return;
      case 'observe':
        this.#mix(agent, 10);
        if (effect.observation.kind === 'member-changed') {
          this.#mix((effect.observation.member << 4) | 1, kindCode(effect.observation.to));
        } else this.#any(effect.observation);
        return;
      default:
        this.#mix(agent, 11);
        this.#any(effect);
    }
  }

  /** What the world itself did: a fault, a lost message. */
  world(what: number, a: number, b: number, at: number): void {
    this.#events++;
    this.#mix((a << 6) | what, b);
    this.#float(at);
  }

  #message(message: DirectMessage): void {
    const { kind } = message;
    switch (kind) {
      case 'ping':
      case 'ack':
        this.#mix(kind === 'ping' ? 10 : 11, message.seq);
        this.#mix(message.digestVersion, message.updates.length);
        this.#updates(message.updates);
        return;
      case 'ping-request':
        this.#mix((message.target << 4) | 12, message.seq);
        this.#updates(message.updates);
        return;
      case 'nack':
        this.#mix(13, message.seq);
        this.#updates(message.updates);
        return;
      case 'gossip':
        this.#mix(14, message.updates.length);
        this.#updates(message.updates);
        return;
      case 'hello':
        this.#mix(message.bootCounter, message.incarnation);
        this.#mix(15, message.updates.length);
        this.#updates(message.updates);
        return;
      case 'claim':
        this.#mix((message.seq << 4) | 9, message.bootCounter);
        for (let i = 0; i < message.duties.length; i++) {
          const { duty, term, heard } = message.duties[i]!;
          this.#mix(duty, term);
          for (let j = 0; j < heard.length; j++) this.#mix(heard.length, heard[j]!);
        }
        return;
      case 'checkpoint':
      case 'handover':
        this.#mix(16, message.checkpoint.duty);
        this.#mix(message.checkpoint.term, message.checkpoint.sequence);
        this.#any(message.checkpoint.data);
        return;
      default:
        this.#any(message);
    }
  }

  #updates(updates: readonly MemberUpdate[]): void {
    for (let i = 0; i < updates.length; i++) {
      const update = updates[i]!;
      this.#mix((update.member << 3) | (update.state.charCodeAt(0) & 7), update.incarnation);
      this.#mix(update.bootCounter, update.origin);
    }
  }

  /** Both lanes once: odd multipliers, so that each word alone changes its lane for good. */
  #mix(a: number, b: number): void {
    const h1 = Math.imul(this.#h1 ^ a, 0x85eb_ca6b | 0);
    this.#h1 = (h1 << 13) | (h1 >>> 19);
    this.#h2 = Math.imul(this.#h2 ^ b, 0x1b87_3593 | 0) + (this.#h1 ^ (this.#h2 >>> 15));
    this.#h2 |= 0;
  }

  #float(n: number): void {
    float[0] = n;
    this.#mix(words[0]!, words[1]!);
  }

  /** Rare things, in whole: every number, text, byte and length in it. */
  #any(value: unknown): void {
    switch (typeof value) {
      case 'number':
        return this.#float(value);
      case 'bigint':
        return this.#text(String(value));
      case 'string':
        return this.#text(value);
      case 'object':
        break;
      default:
        return this.#mix(17, value === true ? 1 : 0);
    }
    if (value === null) return this.#mix(17, 2);
    if (value instanceof Uint8Array) {
      this.#mix(18, value.length);
      for (let i = 0; i < value.length; i++) this.#mix(i, value[i]!);
    } else if (Array.isArray(value)) {
      this.#mix(19, value.length);
      for (const item of value) this.#any(item);
    } else if (value instanceof Map) {
      this.#mix(20, value.size);
      for (const [key, item] of value) {
        this.#any(key);
        this.#any(item);
      }
    } else {
      for (const key in value) {
        this.#text(key);
        this.#any((value as Record<string, unknown>)[key]);
      }
    }
  }

  #text(text: string): void {
    this.#mix(21, text.length);
    for (let i = 0; i < text.length; i++) this.#mix(i, text.charCodeAt(i));
  }
}

const float = new Float64Array(1);
const words = new Int32Array(float.buffer);

/** A small number that tells kinds apart, without a table that a new kind would be missing from. */
const kindCode = (kind: string): number => (kind.length << 14) | (kind.charCodeAt(0) << 7) | kind.charCodeAt(1);

function avalanche(h: number): number {
  let x = h ^ (h >>> 16);
  x = Math.imul(x, 0x85eb_ca6b | 0);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2_ae35 | 0);
  return x ^ (x >>> 16);
}
