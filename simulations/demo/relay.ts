import { connect, createServer, type Socket } from 'node:net';

/**
 * A cable between the agents and the broker that can be pulled: cut closes what is open and refuses what comes, open
 * lets it through again. It counts, so that a story can show that nothing passed.
 */
export class Relay {
  readonly #target: { readonly host: string; readonly port: number };
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #server;
  #cut = false;
  #bytes = 0;

  constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target;
    this.#server = createServer((incoming) => this.#join(incoming));
  }

  /** Bytes that passed in both directions since the start. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Listens on this loopback port. */
  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', () => resolve());
    });
  }

  cut(): void {
    this.#cut = true;
    for (const [a, b] of this.#pairs) {
      a.destroy();
      b.destroy();
    }
  }

  open(): void {
    this.#cut = false;
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #join(incoming: Socket): void {
    if (this.#cut) {
      incoming.destroy();
      return;
    }
    const outgoing = connect(this.#target);
    const pair = [incoming, outgoing] as const;
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      incoming.destroy();
      outgoing.destroy();
    };
    for (const [from, to] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      from.on('data', (chunk) => {
        this.#bytes += chunk.length;
        if (!to.write(chunk)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
      });
      from.once('close', end);
      from.once('error', end);
    }
  }
}
