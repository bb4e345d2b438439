import type { Connection } from '../../../driver/bindings.ts';
import { type Browsed, type BrowseOptions, type BrowseRow, shown } from '../browse.ts';
import { bounded, pause } from '../keep-connected.ts';
import { longestMessage, readPayload } from './payload.ts';
import { connect } from './source.ts';
import { decodeSparkplug, signed } from './sparkplug.ts';

/** Listens for a while, and tells every topic that spoke, with the values that it could be read for. */
export async function browseTopics(
  connection: Extract<Connection, { kind: 'mqtt' }>,
  { from, listenMs, most, depth, timing, signal }: BrowseOptions,
): Promise<Browsed> {
  const client = await connect(connection, timing, signal);
  const rows = new Map<string, BrowseRow>();
  let cut = false;
  const put = (name: string, address: string | undefined, type: string, value: unknown) => {
    if (rows.size >= most && !rows.has(name)) cut = true;
    else rows.set(name, { depth: 0, name: shown(name).slice(0, 200), address, type, value: shown(value) });
  };
  try {
    client.on('error', () => {});
    client.on('message', (topic, payload) => {
      const spark = /^spBv1\.0\/([^/]+)\/[ND](?:BIRTH|DATA)\/([^/]+)(?:\/([^/]+))?$/.exec(topic);
      if (spark !== null) {
        const [, group, node, device] = spark;
        const decoded = decodeSparkplug(payload);
        if (!decoded.ok) return put(topic, undefined, 'Sparkplug', decoded.error);
        for (const { name, value, datatype } of decoded.value.metrics) {
          if (name === undefined || name === '') continue;
          const address = `spBv1.0/${group}/${node}${device === undefined ? '' : `/${device}`}:${name}`;
          put(address, value === undefined ? undefined : address, 'metric', signed(value, datatype) ?? 'no number');
        }
        return;
      }
      const plain = readPayload(payload, undefined);
      if (plain.ok) return put(topic, topic, 'number', plain.value);
      if (payload.length > longestMessage) return put(topic, undefined, 'bytes', `${payload.length} bytes`);
      try {
        const document: unknown = JSON.parse(payload.toString('utf8'));
        walk(document, '', 0, (pointer, value) => put(`${topic}#${pointer}`, `${topic}#${pointer}`, 'in JSON', value));
        if (![...rows.keys()].some((name) => name.startsWith(`${topic}#`)))
          put(topic, undefined, 'JSON', 'no number in it');
      } catch {
        put(topic, undefined, 'text', payload.subarray(0, 200).toString('utf8'));
      }
    });
    await client.subscribeAsync(from ?? '#', { qos: 0 });
    await pause(listenMs, signal);
    if (rows.size === 0) throw new Error(`nobody spoke within ${listenMs / 1000} s: listen longer with --for 60s`);
    return { rows: [...rows.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), cut };
  } finally {
    await bounded(client.endAsync(true), 2_000);
  }

  function walk(
    value: unknown,
    pointer: string,
    level: number,
    found: (pointer: string, value: unknown) => void,
  ): void {
    if (typeof value === 'number' || typeof value === 'boolean') return found(pointer, value);
    if (typeof value !== 'object' || value === null || level > depth) return;
    for (const [key, item] of Object.entries(value).slice(0, 100))
      walk(item, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, level + 1, found);
  }
}
