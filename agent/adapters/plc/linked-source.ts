import type { Result } from '../../base/result.ts';
import type { Connection, Tag } from '../../driver/bindings.ts';
import { KeepConnected, type Session } from './keep-connected.ts';
import { type Reading, SampleMaker } from './sample-maker.ts';
import { type PlcSource, type SourceOptions, type SourceStats, type SourceTiming, sourceTiming } from './source.ts';

/** A tag with what makes its samples, and its address as its protocol understands it. */
export interface ReadableTag<A> {
  readonly tag: Tag;
  readonly maker: SampleMaker;
  readonly address: A;
}

interface UnreadableTag {
  readonly tag: Tag;
  readonly maker: SampleMaker;
  readonly why: string;
}

/** What all sources have in common: a connection that is kept, counters, and tags whose address is none. */
export abstract class LinkedSource<C extends Connection> implements PlcSource {
  protected readonly options: SourceOptions<C>;
  protected readonly timing: SourceTiming;
  protected readonly link: KeepConnected;
  protected readonly counted = { samples: 0, repeats: 0, overflows: 0, refusals: 0 };
  #unreadable: readonly UnreadableTag[] = [];

  constructor(options: SourceOptions<C>) {
    this.options = options;
    this.timing = { ...sourceTiming, ...options.timing };
    this.link = new KeepConnected((signal) => this.open(signal), options.handlers, this.timing, options.random);
  }

  /** One life of the connection; rejects with what stands in its way. Called again and again, one after another. */
  protected abstract open(signal: AbortSignal): Promise<Session>;

  /** Reads the addresses of all tags. Those that are none stay bad: `tellUnreadable` says so in each life. */
  protected readAddresses<A>(parse: (tag: Tag) => Result<A, string>): readonly ReadableTag<A>[] {
    const parsed = this.options.tags.map((tag) => ({ tag, maker: new SampleMaker(tag), address: parse(tag) }));
    this.#unreadable = parsed.flatMap(({ tag, maker, address }) =>
      address.ok ? [] : { tag, maker, why: address.error },
    );
    return parsed.flatMap(({ tag, maker, address }) => (address.ok ? { tag, maker, address: address.value } : []));
  }

  protected tellUnreadable(): void {
    for (const { maker, why } of this.#unreadable)
      this.emit(maker, { raw: undefined, why, sourceTime: this.options.clock.wall() });
  }

  protected emit(maker: SampleMaker, reading: Reading): void {
    const { handlers, clock } = this.options;
    this.counted.samples++;
    handlers.onSample(maker.make(clock.now(), reading));
  }

  start(): void {
    for (const { tag, why } of this.#unreadable) {
      this.options.log?.warn({ tag: tag.name, address: tag.address }, `${why}: this tag stays bad`);
    }
    this.link.start();
  }

  stop(): Promise<void> {
    return this.link.stop();
  }

  get stats(): SourceStats {
    const { connects, failures, lastFailure } = this.link;
    return { ...this.counted, connects, failures, lastFailure };
  }
}
