import type { MqttClient } from 'mqtt';
import type { CheckObservation } from '../../core/health/check.ts';
import type { ProbeOf } from '../../driver/bindings.ts';
import { readSecret } from '../plc/secret.ts';
import { answerWithin } from './connection.ts';
import { measured, notKnown, type ProbeContext, reasonOf } from './probe.ts';

/** Nobody asked for so long: the check is judged on another box now, and the connection is given up. */
const unaskedMs = 600_000;

/**
 * Seconds since the last message on a topic (wildcards count them all), by our own clock at its arrival. A retained
 * message is yesterday's news and does not count. Until the first one comes, the time since we listen counts, so a
 * topic on which nobody speaks grows old too. Without the broker nobody can tell: unknown.
 *
 * One connection is kept between looks; what messages say is not read.
 */
export class MqttFreshness {
  readonly #question: ProbeOf<'mqtt'>;
  #client: MqttClient | undefined;
  #opening: Promise<void> | undefined;
  /** Listening since then; undefined: not connected. */
  #since: number | undefined;
  #lastAt: number | undefined;
  #why = 'not connected yet';
  #idle: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];

  constructor(question: ProbeOf<'mqtt'>) {
    this.#question = question;
  }

  async observe(context: ProbeContext): Promise<CheckObservation> {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.stop(), unaskedMs);
    this.#idle.unref();
    try {
      await (this.#opening ??= this.#open());
    } catch (error) {
      this.#opening = undefined;
      return notKnown(`${this.#shown}: ${reasonOf(error)}`);
    }
    if (this.#since === undefined) await this.#listening(answerWithin(context.timeoutMs), context.signal);
    if (this.#since === undefined) return notKnown(`${this.#shown}: ${this.#why}`);
    const { topic } = this.#question;
    const from = Math.max(this.#since, this.#lastAt ?? 0);
    const age = Math.round((performance.now() - from) / 100) / 10;
    const text =
      this.#lastAt === undefined || this.#lastAt < this.#since
        ? `nothing on ${topic} since we listen, ${age} s`
        : `${topic} last spoke ${age} s ago`;
    return measured(age, 's', 'age', text);
  }

  stop(): void {
    clearTimeout(this.#idle);
    this.#client?.end(true);
    this.#client = undefined;
    this.#opening = undefined;
    this.#since = undefined;
    this.#lastAt = undefined;
  }

  /** Without credentials, which an address may hold. */
  get #shown(): string {
    return this.#question.url.replace(/\/\/[^/@]*@/, '//');
  }

  async #open(): Promise<void> {
    const { url, topic, user, secret } = this.#question;
    const password = secret === undefined ? undefined : await readSecret(secret);
    const { default: mqtt } = await import('mqtt');
    const client = mqtt.connect(url, {
      ...(user === undefined ? {} : { username: user }),
      ...(password === undefined ? {} : { password }),
      clean: true,
      reconnectPeriod: 5_000,
      connectTimeout: 5_000,
      keepalive: 20,
      queueQoSZero: false,
    });
    this.#client = client;
    client.on('connect', () => {
      client.subscribe(topic, { qos: 0 }, (error, granted) => {
        if (error || (granted ?? []).some((one) => one.qos > 2)) {
          this.#why = `the broker does not let us listen to ${topic}`;
          return this.#wake();
        }
        this.#since = performance.now();
        this.#wake();
      });
    });
    client.on('message', (_topic, _payload, packet) => {
      if (!packet.retain) this.#lastAt = performance.now();
    });
    client.on('close', () => {
      this.#since = undefined;
    });
    client.on('error', (error) => {
      this.#why = reasonOf(error) || String((error as { code?: unknown }).code ?? 'no connection');
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #listening(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#why = this.#why === 'not connected yet' ? 'no connection in time' : this.#why;
        done();
      }, ms);
      signal.addEventListener('abort', done, { once: true });
      this.#waiting.push(done);
    });
  }
}
