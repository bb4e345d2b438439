import type { Connection, Tag } from '../../driver/bindings.ts';
import type { LentConnection } from '../gateway/lent-connection.ts';
import { dial } from './dial.ts';
import { KeepConnected, pause, reasonOf, type Session } from './keep-connected.ts';
import { decodeWords, parseRegister, planBlocks, type RegisterBlock, type RegisterTag } from './register-block.ts';
import { type PlcSource, type SourceOptions, type SourceStats, type SourceTiming, sourceTiming } from './source.ts';
import { tagValue } from './tag-value.ts';

type ModbusConnection = Extract<Connection, { kind: 'modbus' }>;

/** All that is used of the library: four ways to read. */
interface Reader {
  readCoils(offset: number, length: number): Promise<{ readonly data: readonly boolean[] }>;
  readDiscreteInputs(offset: number, length: number): Promise<{ readonly data: readonly boolean[] }>;
  readInputRegisters(offset: number, length: number): Promise<{ readonly data: readonly number[] }>;
  readHoldingRegisters(offset: number, length: number): Promise<{ readonly data: readonly number[] }>;
}

/** Unused registers that are read along rather than asked around. */
const maxGap = 8;
/** Small controllers want breath between two requests. */
const breathMs = 2;

/**
 * Modbus TCP, polled: each tag at its own period, neighbouring tags in one request, one request at a time.
 *
 * The protocol knows no time of its own, so a reading's source time is this box's wall clock at the answer. An
 * exception answer means that the device lives and refuses: those tags become `bad`. A request without answer, or an
 * answer that is no Modbus, ends the connection.
 */
export class ModbusSource implements PlcSource {
  readonly #options: SourceOptions<ModbusConnection>;
  readonly #timing: SourceTiming;
  readonly #link: KeepConnected;
  readonly #tags: readonly RegisterTag[];
  readonly #unreadable: readonly Tag[];
  /** Tags that were refused as part of a larger block: read one by one from then on. */
  readonly #alone = new Set<RegisterTag>();
  #samples = 0;
  #refusals = 0;
  #lent: LentConnection | undefined;

  constructor(options: SourceOptions<ModbusConnection>) {
    this.#options = options;
    this.#timing = { ...sourceTiming, ...options.timing };
    const parsed = options.tags.map((tag) => [tag, parseRegister(tag)] as const);
    this.#tags = parsed.flatMap(([, register]) => register ?? []);
    this.#unreadable = parsed.flatMap(([tag, register]) => (register === undefined ? tag : []));
    this.#link = new KeepConnected((signal) => this.#open(signal), options.handlers, this.#timing, options.random);
  }

  start(): void {
    for (const tag of this.#unreadable) {
      this.#options.log?.warn({ tag: tag.name, address: tag.address }, 'no Modbus address: this tag stays bad');
    }
    this.#link.start();
  }

  stop(): Promise<void> {
    return this.#link.stop();
  }

  lend(): LentConnection | undefined {
    return this.#lent;
  }

  get stats(): SourceStats {
    return {
      samples: this.#samples,
      repeats: 0,
      connects: this.#link.connects,
      failures: this.#link.failures,
      lastFailure: this.#link.lastFailure,
      overflows: 0,
      refusals: this.#refusals,
    };
  }

  async #open(signal: AbortSignal): Promise<Session> {
    const { connection } = this.#options;
    const modbus = await import('modbus-serial');
    const socket = await dial(connection.host, connection.port, this.#timing.connectMs, signal);
    // A CommonJS package that also names itself `default`: this spelling suits its types and Node alike.
    const client = new modbus.default.default();
    // The socket is ours from the first byte to the last: the library's own connect leaves it open on some errors.
    const gone = new Promise<string>((resolve) => {
      socket.once('error', (error) => resolve(reasonOf(error)));
      socket.once('close', () => resolve('the device closed the connection'));
    });
    client.on('error', () => {});
    await client.linkTCP(socket, { port: connection.port });
    client.setID(connection.unit);
    client.setTimeout(this.#timing.requestMs);
    const lent: LentConnection = { kind: 'modbus', client };
    this.#lent = lent;
    void gone.then(() => {
      if (this.#lent === lent) this.#lent = undefined;
    });
    const session = new AbortController();
    signal.addEventListener('abort', () => session.abort(), { once: true, signal: session.signal });
    const polling = this.#poll(client, session.signal).catch(reasonOf);
    return {
      ended: Promise.race([gone, polling]),
      close: async () => {
        // A request that still waits is left to its time-out: whatever comes of it, an aborted session says nothing.
        session.abort();
        socket.destroy();
      },
    };
  }

  /** Reads until something breaks; resolves or rejects with the reason. */
  async #poll(reader: Reader, signal: AbortSignal): Promise<string> {
    const { clock } = this.#options;
    const periods = new Map<number, RegisterTag[]>();
    for (const tag of this.#tags) {
      const group = periods.get(tag.tag.everyMs);
      if (group === undefined) periods.set(tag.tag.everyMs, [tag]);
      else group.push(tag);
    }
    const groups = [...periods].map(([everyMs, tags]) => ({ everyMs, tags, due: clock.now() as number }));
    for (const tag of this.#unreadable) this.#emit(tag, undefined);
    if (groups.length === 0) return 'no tag has a Modbus address';
    while (!signal.aborted) {
      const now = clock.now();
      const due = groups.filter((group) => group.due <= now);
      for (const group of due) {
        // No drift while we keep up, and no burst to catch up when we did not.
        group.due = Math.max(group.due + group.everyMs, now + group.everyMs / 2);
      }
      if (due.length === 0) {
        const next = Math.min(...groups.map((group) => group.due));
        await pause(Math.max(1, next - now), signal);
        continue;
      }
      const tags = due.flatMap((group) => group.tags);
      const blocks = [
        ...planBlocks(
          tags.filter((tag) => !this.#alone.has(tag)),
          maxGap,
        ),
        ...tags.filter((tag) => this.#alone.has(tag)).map(single),
      ];
      for (const block of blocks) {
        if (signal.aborted) break;
        await this.#readBlock(reader, block, signal);
        await pause(breathMs, signal);
      }
    }
    return 'stopped';
  }

  /** Throws when the device did not answer, or not in Modbus. */
  async #readBlock(reader: Reader, block: RegisterBlock, signal: AbortSignal): Promise<void> {
    let data: readonly (number | boolean)[];
    try {
      data = await request(reader, block);
    } catch (error) {
      const code = (error as { modbusCode?: unknown } | null)?.modbusCode;
      if (typeof code !== 'number') throw error;
      if (signal.aborted) return;
      this.#refusals++;
      this.#link.found();
      if (block.tags.length > 1) {
        // Perhaps one register in the middle is not there: find out which, and keep reading the others.
        for (const tag of block.tags) {
          this.#alone.add(tag);
          await this.#readBlock(reader, single(tag), signal);
        }
        return;
      }
      const { tag } = block.tags[0]!;
      if (this.#refusals < 20) this.#options.log?.warn({ tag: tag.name, address: tag.address }, reasonOf(error));
      this.#emit(tag, undefined);
      return;
    }
    if (signal.aborted) return;
    this.#link.found();
    for (const { tag, offset, length } of block.tags) {
      const at = offset - block.offset;
      const cells = data.slice(at, at + length);
      const raw =
        block.table === 'coil' || block.table === 'discrete'
          ? cells[0]
          : decodeWords(tag.type, cells as readonly number[], this.#options.connection.order);
      this.#emit(tag, raw);
    }
  }

  #emit(tag: Tag, raw: unknown): void {
    const { handlers, clock } = this.#options;
    const { value, quality } = tagValue(tag, raw);
    this.#samples++;
    handlers.onSample({ signal: tag.signal, value, quality, sourceTime: clock.wall(), receiveTime: clock.now() });
  }
}

const single = (tag: RegisterTag): RegisterBlock => ({
  table: tag.table,
  offset: tag.offset,
  length: tag.length,
  tags: [tag],
});

async function request(reader: Reader, block: RegisterBlock): Promise<readonly (number | boolean)[]> {
  switch (block.table) {
    case 'coil':
      return (await reader.readCoils(block.offset, block.length)).data;
    case 'discrete':
      return (await reader.readDiscreteInputs(block.offset, block.length)).data;
    case 'input':
      return (await reader.readInputRegisters(block.offset, block.length)).data;
    case 'holding':
      return (await reader.readHoldingRegisters(block.offset, block.length)).data;
  }
}
