import { err, ok, type Result } from '../../../base/result.ts';
import type { Instant } from '../../../base/time.ts';
import type { Connection } from '../../../driver/bindings.ts';
import { dial } from '../dial.ts';
import { pause, reasonOf, type Session } from '../keep-connected.ts';
import { LinkedSource, type ReadableTag } from '../linked-source.ts';
import { PollSchedule } from '../poll-schedule.ts';
import type { SampleMaker } from '../sample-maker.ts';
import type { ControllerFact, ControllerQuestion, SourceOptions } from '../source.ts';
import { decodeS7, parseS7Address, type S7Address } from './address.ts';
import { S7Client } from './client.ts';
import { readMode, readProgram, readScan } from './controller.ts';
import { packRanges, planRanges, type TagRange } from './ranges.ts';

type S7Connection = Extract<Connection, { kind: 's7' }>;

type S7Tag = ReadableTag<S7Address>;

/** Small controllers want breath between two requests. */
const breathMs = 2;
/** A fieldbus has no clock: from this many refusals on the log has heard it. */
const toldRefusals = 20;

/**
 * Siemens S7 over ISO-on-TCP, polled: each tag at its own period, neighbours in one stretch, stretches in one request, one
 * request at a time. The protocol carries no time, so a reading's source time is this box's wall clock at the answer. A
 * refused stretch makes its tags `bad` with the controller's reason; a controller without answer, or with one that is no
 * S7, ends the connection.
 */
export class S7Source extends LinkedSource<S7Connection> {
  readonly #tags: readonly S7Tag[];
  /** Tags that were refused as part of a longer stretch: read one by one from then on. */
  readonly #alone = new Set<S7Tag>();
  #client: S7Client | undefined;

  constructor(options: SourceOptions<S7Connection>) {
    super(options);
    this.#tags = this.readAddresses((tag) => parseS7Address(tag.address));
  }

  async ask(question: ControllerQuestion): Promise<Result<ControllerFact, string>> {
    const client = this.#client;
    if (client === undefined) return err('not connected');
    try {
      switch (question) {
        case 'mode': {
          const mode = await readMode(client);
          return mode.ok ? ok({ is: 'mode', mode: mode.value.kind, text: mode.value.text }) : mode;
        }
        case 'scan': {
          const scan = await readScan(client);
          if (!scan.ok) return scan;
          const { last, least, most } = scan.value;
          return ok({ is: 'scan', ms: last, text: `last cycle ${last} ms, between ${least} and ${most} ms` });
        }
        case 'program': {
          const program = await readProgram(client);
          if (!program.ok) return program;
          const { hash, blocks } = program.value;
          return ok({ is: 'program', hash, text: `${blocks.length} blocks` });
        }
        case 'service':
          return err('S7 has no service level');
      }
    } catch (error) {
      return err(reasonOf(error));
    }
  }

  protected async open(signal: AbortSignal): Promise<Session> {
    const { host, port, rack, slot } = this.options.connection;
    const socket = await dial(host, port, this.timing.connectMs, signal);
    const client = await S7Client.open(socket, rack, slot, this.timing.requestMs);
    this.#client = client;
    void client.gone.then(() => {
      if (this.#client === client) this.#client = undefined;
    });
    const session = new AbortController();
    signal.addEventListener('abort', () => session.abort(), { once: true, signal: session.signal });
    const polling = this.#poll(client, session.signal).catch(reasonOf);
    return {
      ended: Promise.race([client.gone, polling]),
      close: async () => {
        session.abort();
        client.close();
      },
    };
  }

  /** Reads until something breaks; resolves or rejects with the reason. */
  async #poll(client: S7Client, signal: AbortSignal): Promise<string> {
    const { clock, connection } = this.options;
    this.tellUnreadable();
    const schedule = new PollSchedule(this.#tags, ({ tag }) => tag.everyMs, clock.now());
    // Connected and answering: without a tag to read, the controller may still be asked for its mode.
    this.link.found();
    while (!signal.aborted) {
      if (schedule.empty) {
        await pause(1_000, signal);
        continue;
      }
      const due = schedule.take(clock.now());
      if (due.length === 0) {
        await pause(schedule.waitMs(clock.now()), signal);
        continue;
      }
      const ranges = [
        ...planRanges(
          due.filter((one) => !this.#alone.has(one)).map((tag) => ({ tag, address: tag.address })),
          client.pdu,
        ),
        ...due.filter((one) => this.#alone.has(one)).map(single),
      ];
      for (const request of packRanges(ranges, client.pdu)) {
        if (signal.aborted) break;
        await this.#readRequest(client, request, signal);
        await pause(connection.pauseMs ?? breathMs, signal);
      }
    }
    return 'stopped';
  }

  #put(maker: SampleMaker, raw: unknown, why?: string, asOf?: Instant): void {
    this.emit(maker, { raw, why, sourceTime: this.options.clock.wall(), asOf });
  }

  async #readRequest(client: S7Client, ranges: readonly TagRange<S7Tag>[], signal: AbortSignal): Promise<void> {
    const asked = this.options.clock.now();
    const answers = await client.read(ranges);
    if (signal.aborted) return;
    for (const [i, range] of ranges.entries()) {
      const answer = answers[i];
      if (answer?.ok) {
        for (const { tag, address } of range.tags) {
          const at = address.from - range.from;
          this.#put(tag.maker, decodeS7(address, answer.value.subarray(at, at + address.bytes)), undefined, asked);
        }
        continue;
      }
      this.counted.refusals++;
      const why = answer?.error ?? 'not answered';
      if (this.counted.refusals < toldRefusals)
        this.options.log?.warn({ tags: range.tags.map(({ tag }) => tag.tag.name).slice(0, 8) }, why);
      for (const { tag } of range.tags) {
        // Perhaps one tag at the end of the stretch lies outside: from now on each is asked for by itself.
        if (range.tags.length > 1) this.#alone.add(tag);
        this.#put(tag.maker, undefined, why);
      }
    }
  }
}

const single = (tag: S7Tag): TagRange<S7Tag> => ({
  area: tag.address.area,
  block: tag.address.block,
  from: tag.address.from,
  bytes: tag.address.bytes,
  tags: [{ tag, address: tag.address }],
});
