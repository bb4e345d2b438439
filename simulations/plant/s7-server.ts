import { createServer, type Server, type Socket } from 'node:net';
import { lateLine } from './late-line.ts';

/**
 * A controller that speaks S7comm over ISO-on-TCP (RFC 1006), as an S7-300 does: reads and writes of data blocks,
 * merkers, inputs and outputs; system status lists for mode and scan time; the directory of its program with check sums.
 *
 * It serves values and knows no physics: who owns it writes into its areas (`real`, `int` … or the buffers themselves).
 * What clients may write is nothing unless `writable` says so. Frames that are no S7comm end the connection, and every
 * buffer is bounded by the length that the protocol allows.
 */
export interface S7ServerOptions {
  readonly host: string;
  /** 0 takes a free one. Real controllers listen on 102. */
  readonly port: number;
  /** Number and size in bytes of each data block. */
  readonly dataBlocks: Readonly<Record<number, number>>;
  /** Bytes of merkers, inputs and outputs; 256 each unless said. */
  readonly areaBytes?: number;
  /** The program's blocks; one OB1 unless said. */
  readonly program?: readonly S7ProgramBlock[];
  /** What clients may write. Nothing unless said. */
  readonly writable?: (area: S7Area, block: number, from: number, bytes: number) => boolean;
  /** The largest frame it agrees to: 240 as small controllers have. */
  readonly pduBytes?: number;
  /** Only this rack and slot answer, as in a real rack; any unless said. */
  readonly slot?: { readonly rack: number; readonly slot: number };
}

export type S7Area = 'db' | 'merker' | 'input' | 'output';

export interface S7ProgramBlock {
  readonly kind: 'OB' | 'DB' | 'FC' | 'FB';
  readonly number: number;
  readonly checksum: number;
  /** Bytes of code. */
  readonly bytes: number;
}

export interface S7Server {
  readonly host: string;
  readonly port: number;
  /** The bytes of an area as clients see them; of `db` with its number. Throws for a block that is not there. */
  area(area: S7Area, block?: number): Buffer;
  /** STOP freezes what the program writes, which is its owner's business; here only the answer to "which mode" changes. */
  mode: 'run' | 'stop';
  /** Milliseconds, as the status list of OB1 tells them. */
  scan: { last: number; least: number; most: number };
  program: readonly S7ProgramBlock[];
  /** Every answer waits so long: a slow controller. */
  delayMs: number;
  /** Connections that are open now. */
  readonly clients: number;
  stop(): Promise<void>;
}

const areaCodes: ReadonlyMap<number, S7Area> = new Map([
  [0x81, 'input'],
  [0x82, 'output'],
  [0x83, 'merker'],
  [0x84, 'db'],
]);
const blockCodes: ReadonlyMap<number, S7ProgramBlock['kind']> = new Map([
  [0x38, 'OB'],
  [0x41, 'DB'],
  [0x43, 'FC'],
  [0x45, 'FB'],
]);
/** What one item may be refused with. */
const refusal = { done: 0xff, denied: 0x03, address: 0x05, type: 0x06, missing: 0x0a } as const;

export async function openS7Server(options: S7ServerOptions): Promise<S7Server> {
  const blocks = new Map(Object.entries(options.dataBlocks).map(([n, bytes]) => [Number(n), Buffer.alloc(bytes)]));
  const size = options.areaBytes ?? 256;
  const fixed = { merker: Buffer.alloc(size), input: Buffer.alloc(size), output: Buffer.alloc(size) };
  const sockets = new Set<Socket>();
  const controller = {
    mode: 'run' as 'run' | 'stop',
    scan: { last: 4, least: 3, most: 9 },
    program: options.program ?? [{ kind: 'OB' as const, number: 1, checksum: 0x1a2b, bytes: 120 }],
    delayMs: 0,
    get clients() {
      return sockets.size;
    },
  };
  const find = (area: S7Area, block: number): Buffer | undefined => (area === 'db' ? blocks.get(block) : fixed[area]);
  const server: Server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    const send = lateLine(socket, () => controller.delayMs);
    const link = { connected: false, pdu: 240 };
    let held: Buffer = Buffer.alloc(0);
    socket.on('data', (data) => {
      held = held.length === 0 ? data : Buffer.concat([held, data]);
      for (;;) {
        if (held.length < 4) return;
        const length = held.readUInt16BE(2);
        // TPKT version 3; the longest frame here is one PDU with its headers.
        if (held[0] !== 3 || length < 7 || length > 2048) return void socket.destroy();
        if (held.length < length) return;
        const answer = answerFrame(held.subarray(4, length), link);
        held = held.subarray(length);
        if (answer === undefined) return void socket.destroy();
        const frame = Buffer.alloc(4 + answer.length);
        frame.writeUInt16BE(0x0300, 0);
        frame.writeUInt16BE(frame.length, 2);
        answer.copy(frame, 4);
        send(frame);
      }
    });
  });

  /** Undefined: this is no S7, or nobody is at that slot; the connection ends. */
  function answerFrame(cotp: Buffer, link: { connected: boolean; pdu: number }): Buffer | undefined {
    const head = cotp[0]! + 1;
    if (head > cotp.length) return undefined;
    if (cotp[1] === 0xe0) {
      if (!slotFits(cotp.subarray(7, head))) return undefined;
      link.connected = true;
      const confirm = Buffer.from(cotp.subarray(0, head));
      confirm[1] = 0xd0;
      confirm.copyWithin(2, 4, 6);
      confirm.writeUInt16BE(1, 4);
      return confirm;
    }
    if (!link.connected || cotp[1] !== 0xf0 || head !== 3) return undefined;
    const s7 = cotp.subarray(3);
    if (s7.length < 10 || s7[0] !== 0x32) return undefined;
    const [parameters, data] = [s7.readUInt16BE(6), s7.readUInt16BE(8)];
    if (10 + parameters + data !== s7.length || parameters < 1) return undefined;
    const body = answerJob(s7[1]!, s7.subarray(10, 10 + parameters), s7.subarray(10 + parameters), link);
    if (body === undefined) return undefined;
    const userData = s7[1] === 7;
    const header = Buffer.alloc(userData ? 10 : 12);
    header.writeUInt16BE(userData ? 0x3207 : 0x3203, 0);
    s7.copy(header, 4, 4, 6);
    header.writeUInt16BE(body.parameters.length, 6);
    header.writeUInt16BE(body.data.length, 8);
    if (!userData) header.writeUInt16BE(body.error ?? 0, 10);
    return Buffer.concat([Buffer.from([0x02, 0xf0, 0x80]), header, body.parameters, body.data]);
  }

  function slotFits(options_: Buffer): boolean {
    if (options.slot === undefined) return true;
    for (let at = 0; at + 2 <= options_.length; at += 2 + options_[at + 1]!) {
      if (options_[at] === 0xc2) return options_[at + 3] === options.slot.rack * 32 + options.slot.slot;
    }
    return false;
  }

  interface Body {
    readonly parameters: Buffer;
    readonly data: Buffer;
    readonly error?: number;
  }

  function answerJob(kind: number, p: Buffer, data: Buffer, link: { pdu: number }): Body | undefined {
    if (kind === 7) return p.length >= 8 ? answerUserData(p, data, link.pdu) : undefined;
    if (kind !== 1) return undefined;
    const none = Buffer.alloc(0);
    if (p[0] === 0xf0 && p.length === 8) {
      link.pdu = Math.max(64, Math.min(p.readUInt16BE(6), options.pduBytes ?? 240));
      const agreed = Buffer.from(p);
      agreed.writeUInt16BE(1, 2);
      agreed.writeUInt16BE(1, 4);
      agreed.writeUInt16BE(link.pdu, 6);
      return { parameters: agreed, data: none };
    }
    const count = p[1] ?? 0;
    if ((p[0] !== 4 && p[0] !== 5) || count > 20 || p.length !== 2 + 12 * count) {
      // "Function not available", as a controller says it.
      return { parameters: Buffer.from([p[0]!, 0]), data: none, error: 0x8104 };
    }
    const items = Array.from({ length: count }, (_, i) => p.subarray(2 + 12 * i, 14 + 12 * i));
    const parameters = Buffer.from([p[0], count]);
    if (p[0] === 4) {
      const answers = items.map(readItem);
      const whole = Buffer.concat(answers.map((one, i) => (i < count - 1 && one.length % 2 === 1 ? pad(one) : one)));
      return whole.length + 14 > link.pdu ? { parameters, data: none, error: 0x8500 } : { parameters, data: whole };
    }
    let at = 0;
    const codes = items.map((item) => {
      if (at + 4 > data.length) return refusal.type;
      const bits = data.readUInt16BE(at + 2);
      const bytes = data[at + 1] === 3 ? 1 : data[at + 1] === 4 || data[at + 1] === 5 ? Math.ceil(bits / 8) : bits;
      const value = data.subarray(at + 4, at + 4 + bytes);
      at += 4 + bytes + (bytes % 2);
      return writeItem(item, value);
    });
    return { parameters, data: Buffer.from(codes) };
  }

  interface Place {
    readonly area: S7Area;
    readonly block: number;
    readonly memory: Buffer;
    readonly from: number;
    readonly bit: number | undefined;
    readonly bytes: number;
  }

  /** A refusal's code, or where it lies. */
  function placeOf(item: Buffer): Place | number {
    if (item[0] !== 0x12 || item[1] !== 0x0a || item[2] !== 0x10) return refusal.type;
    const area = areaCodes.get(item[8]!);
    const width = [0, 0, 1, 1, 2, 2, 4, 4, 4][item[3]!];
    if (area === undefined || width === undefined || item[3] === 0) return refusal.type;
    const block = item.readUInt16BE(6);
    const memory = find(area, block);
    if (memory === undefined) return refusal.missing;
    const address = item.readUIntBE(9, 3);
    const bit = item[3] === 1 ? address & 7 : undefined;
    const bytes = bit === undefined ? item.readUInt16BE(4) * width : 1;
    const from = address >>> 3;
    if (bytes === 0 || from + bytes > memory.length) return refusal.address;
    return { area, block, memory, from, bit, bytes };
  }

  function readItem(item: Buffer): Buffer {
    const place = placeOf(item);
    if (typeof place === 'number') return Buffer.from([place, 0, 0, 0]);
    const { memory, from, bit, bytes } = place;
    if (bit !== undefined) return Buffer.from([0xff, 0x03, 0, 1, (memory[from]! >>> bit) & 1]);
    const head = Buffer.from([0xff, 0x04, 0, 0]);
    head.writeUInt16BE(bytes * 8, 2);
    return Buffer.concat([head, memory.subarray(from, from + bytes)]);
  }

  function writeItem(item: Buffer, value: Buffer): number {
    const place = placeOf(item);
    if (typeof place === 'number') return place;
    const { area, block, memory, from, bit, bytes } = place;
    if (options.writable?.(area, block, from, bytes) !== true) return refusal.denied;
    if (value.length !== bytes) return refusal.type;
    if (bit === undefined) value.copy(memory, from);
    else memory[from] = (memory[from]! & ~(1 << bit)) | ((value[0]! & 1) << bit);
    return refusal.done;
  }

  function answerUserData(p: Buffer, data: Buffer, pdu: number): Body {
    const reply = (content: Buffer | undefined, error: number): Body => {
      const parameters = Buffer.from([0, 1, 0x12, 8, 0x12, 0x80 | (p[5]! & 0x0f), p[6]!, p[7]!, 0, 0, 0, 0]);
      parameters.writeUInt16BE(content === undefined ? error : 0, 10);
      if (content === undefined) return { parameters, data: Buffer.from([0x0a, 0, 0, 0]) };
      const head = Buffer.from([0xff, 0x09, 0, 0]);
      head.writeUInt16BE(content.length, 2);
      return { parameters, data: Buffer.concat([head, content]) };
    };
    const group = p[5]! & 0x0f;
    if (group === 4 && p[6] === 1 && data.length >= 8)
      return reply(statusList(data.readUInt16BE(4), data.readUInt16BE(6)), 0xd401);
    if (group === 3 && p[6] === 2 && data.length >= 6) {
      const kind = blockCodes.get(data[5]!);
      const entries = kind === undefined ? [] : directory(kind).slice(0, Math.floor((pdu - 40) / 4));
      if (entries.length === 0) return reply(undefined, 0xd20e);
      return reply(
        Buffer.concat(entries.map(({ number }) => Buffer.from([number >>> 8, number & 0xff, 0x22, 0x01]))),
        0,
      );
    }
    if (group === 3 && p[6] === 3 && data.length >= 12) {
      const kind = blockCodes.get(data[5]!);
      const number = Number(data.toString('latin1', 6, 11));
      const block = kind === undefined ? undefined : directory(kind).find((one) => one.number === number);
      return reply(block === undefined ? undefined : blockInfo(block), 0xd209);
    }
    return reply(undefined, 0x8104);
  }

  /** The program's own blocks and the data that lies in this server. */
  function directory(kind: S7ProgramBlock['kind']): readonly S7ProgramBlock[] {
    const own = controller.program.filter((block) => block.kind === kind);
    if (kind !== 'DB') return own;
    const data = [...blocks].map(([number, { length }]) => ({ kind, number, checksum: 0, bytes: length }));
    return [...own, ...data.filter(({ number }) => !own.some((one) => one.number === number))];
  }

  function statusList(id: number, index: number): Buffer | undefined {
    // W#16#0424: current mode of operation. W#16#0222, index 1: start information of OB1, with its cycle times.
    if (id === 0x0424) {
      const record = Buffer.alloc(20);
      record.writeUInt16BE(0x5144, 0);
      record[2] = 0xff;
      record[3] = controller.mode === 'run' ? 0x08 : 0x04;
      return list(id, index, record);
    }
    if (id === 0x0222 && index === 1) {
      const record = Buffer.alloc(28);
      record.set([0x11, 0x03, 0x01, 0x01, 0x90, 0x90], 0);
      const { last, least, most } = controller.scan;
      for (const [i, ms] of [last, least, most].entries()) record.writeUInt16BE(Math.min(32_767, ms), 6 + 2 * i);
      return list(id, index, record);
    }
    return undefined;
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  return Object.assign(controller, {
    host: options.host,
    port,
    area(area: S7Area, block = 0): Buffer {
      const memory = find(area, block);
      if (memory === undefined) throw new Error(`this controller has no DB${block}`);
      return memory;
    },
    stop: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  });
}

const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(1)]);

const list = (id: number, index: number, record: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  for (const [i, word] of [id, index, record.length, 1].entries()) head.writeUInt16BE(word, 2 * i);
  return Buffer.concat([head, record]);
};

/** 78 bytes, as a controller describes one of its blocks. */
function blockInfo({ kind, number, checksum, bytes }: S7ProgramBlock): Buffer {
  const info = Buffer.alloc(78);
  info.set([0x01, 0x00, 0x00, 0x4a, 0x00, 0x22, 0x70, 0x70, 0x01, 0x01, 0x01], 0);
  info[11] = { OB: 0x08, DB: 0x0a, FC: 0x0c, FB: 0x0e }[kind];
  info.writeUInt16BE(number, 12);
  info.writeUInt32BE(bytes + 92, 14);
  info.writeUInt16BE(bytes, 40);
  info[66] = 0x10;
  info.writeUInt16BE(checksum, 68);
  return info;
}
