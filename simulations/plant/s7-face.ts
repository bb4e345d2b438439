import type { S7Tag } from './register-map.ts';
import { openS7Server } from './s7-server.ts';

export interface S7FaceOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The data block that the tags lie in. */
  readonly block: number;
  readonly tags: readonly S7Tag[];
}

export interface S7Face {
  readonly host: string;
  readonly port: number;
  /** As the controller's program writes it; what the controller does not have is left alone. */
  write(name: string, value: number): void;
  /** STOP: whoever writes values stops writing; the mode is what clients are told. */
  mode: 'run' | 'stop';
  /** Every answer waits so long. */
  delayMs: number;
  stop(): Promise<void>;
}

/** A controller over one data block: REAL, INT and BOOL, read-only for clients. */
export async function openS7Face({ host, port, block, tags }: S7FaceOptions): Promise<S7Face> {
  const size = Math.max(...tags.map(({ offset }) => offset + 4));
  const server = await openS7Server({ host, port, dataBlocks: { [block]: size } });
  const memory = server.area('db', block);
  const byName = new Map(tags.map((tag) => [tag.name, tag]));
  return {
    host: server.host,
    port: server.port,
    write(name, value) {
      const tag = byName.get(name);
      if (tag === undefined) return;
      if (tag.type === 'real') memory.writeFloatBE(value, tag.offset);
      else if (tag.type === 'int') memory.writeInt16BE(value, tag.offset);
      else memory[tag.offset] = value === 0 ? 0 : 1;
    },
    get mode() {
      return server.mode;
    },
    set mode(mode) {
      server.mode = mode;
    },
    get delayMs() {
      return server.delayMs;
    },
    set delayMs(ms) {
      server.delayMs = ms;
    },
    stop: () => server.stop(),
  };
}
