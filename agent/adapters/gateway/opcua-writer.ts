import type * as UA from 'node-opcua-client';
import type { Connection } from '../../driver/bindings.ts';
import { bounded, reasonOf, within } from '../plc/keep-connected.ts';
import { createClient, identify, reach } from '../plc/opcua-client.ts';
import { loadDriver, type OpcUaDriver } from '../plc/opcua-driver.ts';
import { encodeWords } from '../plc/register-block.ts';
import { sourceTiming } from '../plc/source.ts';
import type { DeviceWrite, DeviceWriter, WriterOptions, WriteSession } from './device-writer.ts';
import { blockWords, isWord, type Mark, maxCommandWords, readMark } from './token-block.ts';

type OpcUaConnection = Extract<Connection, { kind: 'opcua' }>;

/**
 * OPC UA: the Value attribute of one variable in one Write request (OPC 10000-4, 5.10.4). A block with token is one
 * array of UInt16, so that it arrives whole or not at all. A bad status is a certain "no", except where the server says
 * that it does not know (a time-out inside it, a lost connection to the controller behind it).
 */
export class OpcUaWriter implements DeviceWriter {
  readonly #options: WriterOptions<OpcUaConnection>;

  constructor(options: WriterOptions<OpcUaConnection>) {
    this.#options = options;
  }

  objection(write: DeviceWrite): string | undefined {
    if (!/^(ns=\d+;)?[isgb]=.+$/.test(write.address)) return `${write.address} is no node id`;
    if (write.kind === 'block') {
      const { command } = write;
      const fits = command.length >= 1 && command.length <= maxCommandWords && command.every(isWord);
      return fits ? undefined : `a command has 1 to ${maxCommandWords} words of 0 to 65535`;
    }
    const { type, value } = write;
    const fits = type === 'bool' ? value === 0 || value === 1 : encodeWords(type, value, 'abcd') !== undefined;
    return fits ? undefined : `${value} is no ${type}`;
  }

  async open(write: DeviceWrite, signal: AbortSignal) {
    const refused = this.objection(write);
    if (refused !== undefined) throw new Error(refused);
    const { connection, pki } = this.#options;
    const timing = { ...sourceTiming, ...this.#options.timing };
    if (this.#options.lent !== undefined) {
      const lent = this.#options.lent();
      if (lent?.kind !== 'opcua') throw new Error('the device is not connected');
      return sessionOn(await loadDriver(), lent.session, write, timing.requestMs, async () => {});
    }
    await reach(connection.endpoint, timing.connectMs, signal);
    const ua = await loadDriver();
    const client = await createClient(ua, connection, pki, timing);
    const close = () => bounded(client.disconnect(), 2_000);
    const giveUp = () => void close();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await within(client.connect(connection.endpoint), timing.connectMs, connection.endpoint);
      const session = await within(client.createSession(await identify(ua, connection)), timing.connectMs, 'login');
      if (signal.aborted) throw new Error('stopped');
      return sessionOn(ua, session, write, timing.requestMs, async () => {
        signal.removeEventListener('abort', giveUp);
        await close();
      });
    } catch (error) {
      signal.removeEventListener('abort', giveUp);
      await close();
      throw error;
    }
  }
}

const sessionOn = (
  ua: OpcUaDriver,
  session: UA.ClientSession,
  write: DeviceWrite,
  requestMs: number,
  close: () => Promise<void>,
): WriteSession => ({
  close,
  async send(mark) {
    try {
      const sent = session.write({
        nodeId: write.address,
        attributeId: ua.AttributeIds.Value,
        value: { value: variantOf(ua, write, mark) },
      });
      const status = await within(sent, requestMs, 'write');
      if (status.isGood()) return { kind: 'taken' };
      return { kind: doubtful(ua).has(status.value) ? 'unknown' : 'refused', reason: status.name };
    } catch (error) {
      return { kind: 'unknown', reason: reasonOf(error) };
    }
  },
  async shown() {
    if (write.kind !== 'block') return undefined;
    const asked = session.read({ nodeId: write.shows, attributeId: ua.AttributeIds.Value });
    const data = await within(asked, requestMs, 'read');
    if (!data.statusCode.isGood()) throw new Error(`${write.shows}: ${data.statusCode.name}`);
    const value: unknown = data.value.value;
    return value instanceof Uint16Array || Array.isArray(value) ? readMark(Array.from(value, Number)) : undefined;
  },
});

function variantOf(ua: OpcUaDriver, write: DeviceWrite, mark: Mark): UA.VariantOptions {
  if (write.kind === 'block') {
    const value = Uint16Array.from(blockWords(mark, write.command));
    return { dataType: ua.DataType.UInt16, arrayType: ua.VariantArrayType.Array, value };
  }
  const { type, value } = write;
  const names = {
    bool: 'Boolean',
    int16: 'Int16',
    uint16: 'UInt16',
    int32: 'Int32',
    uint32: 'UInt32',
    float32: 'Float',
    float64: 'Double',
  } as const;
  return { dataType: ua.DataType[names[type]], value: type === 'bool' ? value === 1 : value };
}

/** What a server answers that asked the controller behind it, and did not hear how it went. */
const doubtful = (ua: OpcUaDriver): ReadonlySet<number> =>
  new Set(
    [
      ua.StatusCodes.BadTimeout,
      ua.StatusCodes.BadRequestTimeout,
      ua.StatusCodes.BadNoCommunication,
      ua.StatusCodes.BadCommunicationError,
      ua.StatusCodes.BadUnexpectedError,
      ua.StatusCodes.BadInternalError,
      ua.StatusCodes.BadShutdown,
    ].map(({ value }) => value),
  );
