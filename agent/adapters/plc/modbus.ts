import { err, ok } from '../../base/result.ts';
import type { Instant } from '../../base/time.ts';
import type { Connection, Tag } from '../../driver/bindings.ts';
import type { LentConnection } from '../gateway/lent-connection.ts';
import { dial } from './dial.ts';
import { pause, reasonOf, type Session } from './keep-connected.ts';
import { LinkedSource } from './linked-source.ts';
import { PollSchedule } from './poll-schedule.ts';
import { decodeWords, parseRegister, planBlocks, type RegisterBlock, type RegisterTag } from './register-block.ts';
import type { SampleMaker } from './sample-maker.ts';
import { joinLine, type LineShare, type RegisterReader } from './serial-line.ts';
import type { SourceOptions } from './source.ts';

type ModbusConnection = Extract<Connection, { kind: 'modbus' }>;

/** Unused registers that are read along rather than asked around. */
const maxGap = 8;
/** Small controllers want breath between two requests. */
const breathMs = 2;
/** A serial bus has to fall silent between two frames. */
const lineBreathMs = 5;

/**
 * Modbus over TCP or a serial line, polled: each tag at its own period, neighbouring tags in one request, one request at a time.
 *
 * The protocol knows no time of its own, so a reading's source time is this box's wall clock at the answer. An
 * exception answer means that the device lives and refuses: those tags become `bad`. A request without answer, or an
 * answer that is no Modbus, ends the connection.
 */
export class ModbusSource extends LinkedSource<ModbusConnection> {
  readonly #tags: readonly RegisterTag[];
  readonly #makers: ReadonlyMap<Tag, SampleMaker>;
  /** Tags that were refused as part of a larger block: read one by one from then on. */
  readonly #alone = new Set<RegisterTag>();
  #lent: LentConnection | undefined;

  constructor(options: SourceOptions<ModbusConnection>) {
    super(options);
    const readable = this.readAddresses((tag) => {
      const register = parseRegister(tag);
      return register === undefined ? err('no Modbus address') : ok(register);
    });
    this.#tags = readable.map(({ address }) => address);
    this.#makers = new Map(readable.map(({ tag, maker }) => [tag, maker]));
  }

  lend(): LentConnection | undefined {
    return this.#lent;
  }

  protected async open(signal: AbortSignal): Promise<Session> {
    const { reader, gone, close } = await this.#connect(signal);
    const session = new AbortController();
    signal.addEventListener('abort', () => session.abort(), { once: true, signal: session.signal });
    const polling = this.#poll(reader, session.signal).catch(reasonOf);
    return {
      ended: Promise.race([gone, polling]),
      close: async () => {
        // A request that still waits is left to its time-out: whatever comes of it, an aborted session says nothing.
        session.abort();
        await close();
      },
    };
  }

  async #connect(signal: AbortSignal): Promise<LineShare> {
    const { connection } = this.options;
    if (connection.serial !== undefined) {
      const { serial, unit, pauseMs } = connection;
      return joinLine(serial, unit, this.timing.requestMs, pauseMs ?? lineBreathMs);
    }
    const modbus = await import('modbus-serial');
    const socket = await dial(connection.host, connection.port, this.timing.connectMs, signal);
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
    client.setTimeout(this.timing.requestMs);
    const lent: LentConnection = { kind: 'modbus', client };
    this.#lent = lent;
    void gone.then(() => {
      if (this.#lent === lent) this.#lent = undefined;
    });
    return { reader: client, gone, close: async () => void socket.destroy() };
  }

  /** Reads until something breaks; resolves or rejects with the reason. */
  async #poll(reader: RegisterReader, signal: AbortSignal): Promise<string> {
    const { clock, connection } = this.options;
    const schedule = new PollSchedule(this.#tags, ({ tag }) => tag.everyMs, clock.now());
    this.tellUnreadable();
    if (schedule.empty) return 'no tag has a Modbus address';
    while (!signal.aborted) {
      const tags = schedule.take(clock.now());
      if (tags.length === 0) {
        await pause(schedule.waitMs(clock.now()), signal);
        continue;
      }
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
        if (connection.serial === undefined) await pause(connection.pauseMs ?? breathMs, signal);
      }
    }
    return 'stopped';
  }

  /** Throws when the device did not answer, or not in Modbus. */
  async #readBlock(reader: RegisterReader, block: RegisterBlock, signal: AbortSignal): Promise<void> {
    let data: readonly (number | boolean)[];
    const asked = this.options.clock.now();
    try {
      data = await request(reader, block);
    } catch (error) {
      const code = (error as { modbusCode?: unknown } | null)?.modbusCode;
      if (typeof code !== 'number') throw error;
      if (signal.aborted) return;
      this.counted.refusals++;
      this.link.found();
      if (block.tags.length > 1) {
        // Perhaps one register in the middle is not there: find out which, and keep reading the others.
        for (const tag of block.tags) {
          this.#alone.add(tag);
          await this.#readBlock(reader, single(tag), signal);
        }
        return;
      }
      const { tag } = block.tags[0]!;
      if (this.counted.refusals < 20) this.options.log?.warn({ tag: tag.name, address: tag.address }, reasonOf(error));
      this.#put(tag, undefined, `the device refuses: ${reasonOf(error)}`);
      return;
    }
    if (signal.aborted) return;
    this.link.found();
    for (const { tag, offset, length } of block.tags) {
      const at = offset - block.offset;
      const cells = data.slice(at, at + length);
      const raw =
        block.table === 'coil' || block.table === 'discrete'
          ? cells[0]
          : decodeWords(tag.type, cells as readonly number[], this.options.connection.order);
      this.#put(tag, raw, undefined, asked);
    }
  }

  #put(tag: Tag, raw: unknown, why?: string, asOf?: Instant): void {
    const maker = this.#makers.get(tag);
    if (maker !== undefined) this.emit(maker, { raw, why, sourceTime: this.options.clock.wall(), asOf });
  }
}

const single = (tag: RegisterTag): RegisterBlock => ({
  table: tag.table,
  offset: tag.offset,
  length: tag.length,
  tags: [tag],
});

async function request(reader: RegisterReader, block: RegisterBlock): Promise<readonly (number | boolean)[]> {
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
