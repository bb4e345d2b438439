import type { Effect } from '../../agent/core/effect.ts';
import type { DirectMessage, Input } from '../../agent/core/input.ts';
import type { MemberUpdate } from '../../agent/core/membership/member.ts';

/**
 * A hash chained over everything that happened, 64 bits in two 32-bit lanes. It is no seal against forgers; it tells
 * two runs apart: the same seed and code give the same hash, and one changed number anywhere gives another.
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
    this.#int(agent);
    this.#float(at);
    switch (input.kind) {
      case 'ticked':
        this.#int(1);
        this.#float(input.lateMs);
        return;
      case 'message-received':
        this.#int(2);
        this.#int(input.from);
        this.#message(input.message);
        return;
      case 'peer-connected':
      case 'peer-disconnected':
        this.#int(input.kind === 'peer-connected' ? 3 : 4);
        this.#int(input.peer);
        return;
      default:
        this.#int(5);
        this.#text(JSON.stringify(input, bytesAsText));
    }
  }

  effect(agent: number, at: number, effect: Effect): void {
    this.#events++;
    this.#int(agent);
    this.#float(at);
    if (effect.kind === 'send') {
      this.#int(6);
      this.#int(effect.to);
      this.#message(effect.message);
    } else {
      this.#int(7);
      this.#text(JSON.stringify(effect, bytesAsText));
    }
  }

  /** What the world itself did: a fault, a lost message. */
  world(what: number, a: number, b: number, at: number): void {
    this.#events++;
    this.#int(what);
    this.#int(a);
    this.#int(b);
    this.#float(at);
  }

  #message(message: DirectMessage): void {
    switch (message.kind) {
      case 'ping':
      case 'ack':
        this.#int(message.kind === 'ping' ? 10 : 11);
        this.#int(message.seq);
        this.#int(message.digestVersion);
        this.#updates(message.updates);
        return;
      case 'ping-request':
        this.#int(12);
        this.#int(message.seq);
        this.#int(message.target);
        this.#updates(message.updates);
        return;
      case 'nack':
        this.#int(13);
        this.#int(message.seq);
        this.#updates(message.updates);
        return;
      case 'gossip':
        this.#int(14);
        this.#updates(message.updates);
        return;
      case 'claim':
        this.#int(15);
        this.#int(message.bootCounter);
        this.#int(message.seq);
        for (const { duty, term, heard } of message.duties) {
          this.#int(duty);
          this.#int(term);
          this.#int(heard.length);
          for (const agent of heard) this.#int(agent);
        }
        return;
      default:
        this.#int(16);
        this.#text(JSON.stringify(message, bytesAsText));
    }
  }

  #updates(updates: readonly MemberUpdate[]): void {
    this.#int(updates.length);
    for (const update of updates) {
      this.#int(update.member);
      this.#int(update.state.length + update.state.charCodeAt(0) * 16);
      this.#int(update.bootCounter);
      this.#int(update.incarnation);
      this.#int(update.origin);
    }
  }

  #int(n: number): void {
    const h1 = Math.imul(this.#h1 ^ n, 0x85eb_ca6b | 0);
    this.#h1 = (h1 << 13) | (h1 >>> 19);
    this.#h2 = Math.imul((this.#h2 ^ h1) + n, 0x1b87_3593 | 0) ^ (this.#h2 >>> 15);
  }

  #float(n: number): void {
    float[0] = n;
    this.#int(words[0]!);
    this.#int(words[1]!);
  }

  #text(text: string): void {
    this.#int(text.length);
    for (let i = 0; i < text.length; i++) this.#int(text.charCodeAt(i));
  }
}

const float = new Float64Array(1);
const words = new Int32Array(float.buffer);
const bytesAsText = (_key: string, value: unknown): unknown =>
  value instanceof Uint8Array ? `bytes:${Array.from(value).join('.')}` : value instanceof Map ? [...value] : value;

function avalanche(h: number): number {
  let x = h ^ (h >>> 16);
  x = Math.imul(x, 0x85eb_ca6b | 0);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2_ae35 | 0);
  return x ^ (x >>> 16);
}
