import { randomBytes } from 'node:crypto';
import { noise } from '@libp2p/noise';
import { preSharedKey } from '@libp2p/pnet';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p, type Libp2p } from 'libp2p';
import { afterEach, describe, expect, it } from 'vitest';
import { readAddress } from '../../../agent/adapters/mesh/address.ts';
import { type BundleDesk, bundleProtocol } from '../../../agent/adapters/mesh/bundle-exchange.ts';
import { readAgentKey } from '../../../agent/adapters/mesh/identity.ts';
import type { Stream } from '../../../agent/adapters/mesh/libp2p-types.ts';
import type { Mesh } from '../../../agent/adapters/mesh/mesh.ts';
import { type BundleStanding, decodeBundleMessage, encodeBundleMessage } from '../../../agent/wire/bundle.ts';
import { FrameReader, frame } from '../../../agent/wire/frame.ts';
import { compareBundles } from '../../../agent/wire/site-bundle.ts';
import { eventually } from '../../support/eventually.ts';
import { addressOf, makeSite, startAgent, type TestSite } from './site.ts';

/** Bundles of this test: 32 bytes that name it, and as much as it likes after that. Judged by the version alone. */
class Desk implements BundleDesk {
  own: BundleStanding;
  bytes: Uint8Array;
  readonly told = new Map<string, BundleStanding>();
  readonly taken: { readonly from: string; readonly bytes: Uint8Array }[] = [];
  judge: (bytes: Uint8Array, from: string) => 'taken' | 'later' | 'refused';
  changed: () => void = () => {};

  constructor(version: number, size = 100) {
    this.bytes = Uint8Array.from(randomBytes(size));
    this.bytes[0] = version;
    this.own = standing(version, this.bytes);
    this.judge = (bytes) => {
      const next = standing(bytes[0]!, bytes);
      if (compareBundles(next, this.own) <= 0) return 'refused';
      this.own = next;
      this.bytes = bytes;
      queueMicrotask(() => this.changed());
      return 'taken';
    };
  }

  standing = (): BundleStanding => this.own;
  next = (): Uint8Array => this.bytes;
  heard = (from: string, what: BundleStanding): void => void this.told.set(from, what);
  take(bytes: Uint8Array, from: string): 'taken' | 'later' | 'refused' {
    this.taken.push({ from, bytes });
    return this.judge(bytes, from);
  }
}

const standing = (version: number, bytes: Uint8Array): BundleStanding => ({
  era: 1,
  version,
  hash: Buffer.from(bytes.subarray(0, 32)).toString('hex'),
  running: { era: 1, version },
});

describe('bundles between real meshes', () => {
  const meshes: Mesh[] = [];
  const nodes: Libp2p[] = [];
  afterEach(async () => {
    await Promise.all([...meshes.splice(0).map((mesh) => mesh.stop()), ...nodes.splice(0).map((node) => node.stop())]);
  });

  const start = async (site: TestSite, self: number, desk: Desk, peers: readonly string[] = []) => {
    const agent = await startAgent(site, self, peers, { bundles: desk });
    desk.changed = () => agent.mesh.bundleChanged();
    meshes.push(agent.mesh);
    return agent;
  };

  /** An agent's keys in the hands of a program that says what it likes. */
  const liar = async (site: TestSite, self: number, address: string, serve?: (stream: Stream) => void) => {
    const node = await createLibp2p({
      privateKey: readAgentKey(site.privateKeys[self]!).libp2p,
      transports: [tcp()],
      connectionProtector: preSharedKey({ psk: new TextEncoder().encode(site.psk) }),
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionMonitor: { enabled: false },
    });
    nodes.push(node);
    if (serve) await node.handle(bundleProtocol, serve);
    return await node.dial(readAddress(address));
  };

  it('six megabytes at the far end of a line → with everybody, byte for byte; each is told who has what', async () => {
    const site = makeSite(3);
    const desks = [new Desk(1), new Desk(1), new Desk(2, 6_000_000)] as const;
    [desks[1].own, desks[1].bytes] = [desks[0].own, desks[0].bytes];
    const first = await start(site, 0, desks[0]);
    const second = await start(site, 1, desks[1], [addressOf(first.mesh)]);
    await start(site, 2, desks[2], [addressOf(second.mesh)]);
    await eventually(() => desks.every((desk) => desk.own.version === 2), { deadlineMs: 15_000, what: 'all have it' });
    expect(Buffer.compare(desks[0].bytes, desks[2].bytes)).toBe(0);
    await eventually(() => desks[2].told.get('edge-2')?.version === 2, { deadlineMs: 5_000, what: 'and is told so' });
    expect(first.mesh.counters().bundles).toMatchObject({ fetched: 1, garbage: 0, failed: 0 });
  });

  it('news while connected → taken at once, not at the next round', async () => {
    const site = makeSite(2);
    const desks = [new Desk(1), new Desk(1)] as const;
    [desks[1].own, desks[1].bytes] = [desks[0].own, desks[0].bytes];
    const first = await start(site, 0, desks[0]);
    await start(site, 1, desks[1], [addressOf(first.mesh)]);
    await eventually(() => desks[0].told.has('edge-2') && desks[1].told.has('edge-1'));
    const news = new Desk(2);
    desks[0].own = news.own;
    desks[0].bytes = news.bytes;
    const from = performance.now();
    desks[0].changed();
    await eventually(() => desks[1].own.version === 2);
    expect(performance.now() - from).toBeLessThan(1_000);
  });

  it('a peer with a bundle that is refused → asked for it once, and what others have is taken all the same', async () => {
    const site = makeSite(3);
    const desks = [new Desk(1), new Desk(9), new Desk(3)] as const;
    const judge = desks[0].judge;
    desks[0].judge = (bytes, from) => (from === 'edge-2' ? 'refused' : judge(bytes, from));
    const first = await start(site, 0, desks[0]);
    await start(site, 1, desks[1], [addressOf(first.mesh)]);
    await eventually(() => desks[0].taken.length > 0);
    await start(site, 2, desks[2], [addressOf(first.mesh)]);
    await eventually(() => desks[0].own.version >= 3, { deadlineMs: 5_000 });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(desks[0].taken.filter(({ from }) => from === 'edge-2').length).toBe(1);
  });

  it('one that announces another bundle with every word and gives none → asked ever more slowly', async () => {
    const site = makeSite(2);
    const desk = new Desk(1);
    desk.judge = () => 'refused';
    const { mesh } = await start(site, 0, desk);
    let served = 0;
    const connection = await liar(site, 1, addressOf(mesh), (stream) => {
      served++;
      stream.send(frame(encodeBundleMessage({ kind: 'head', bytes: 3 })));
      stream.send(frame(encodeBundleMessage({ kind: 'part', bytes: new Uint8Array(3) })));
    });
    for (let n = 0; n < 60; n++) {
      const stream = await connection.newStream(bundleProtocol);
      const lie = { ...standing(200, Uint8Array.from(randomBytes(32))), kind: 'standing' as const };
      stream.send(frame(encodeBundleMessage(lie)));
      await new Promise((resolve) => setTimeout(resolve, 25));
      stream.abort(new Error('next'));
    }
    expect(served).toBeGreaterThan(0);
    // Within 1.5 s: the announcement of ours that it answers so, one question, and the next after a second.
    expect(desk.taken.length).toBeLessThanOrEqual(3);
  });

  it.each<[string, readonly Uint8Array[]]>([
    ['garbage', [frame(new TextEncoder().encode('GET / HTTP/1.1'))]],
    ['a frame without an end', [Uint8Array.of(0xff, 0xff, 0x7f)]],
    ['an answer to nothing', [frame(encodeBundleMessage({ kind: 'head', bytes: 10 }))]],
  ])('%s → counted, the stream is cut, the mesh goes on', async (_what, bytes) => {
    const site = makeSite(2);
    const desk = new Desk(1);
    const { mesh } = await start(site, 0, desk);
    const connection = await liar(site, 1, addressOf(mesh));
    const stream = await connection.newStream(bundleProtocol);
    for (const chunk of bytes) stream.send(chunk);
    await eventually(() => mesh.counters().bundles?.garbage === 1 && stream.status !== 'open', { what: 'refused' });
    const again = await connection.newStream(bundleProtocol);
    const reader = new FrameReader(1_000);
    const heard = Promise.withResolvers<Uint8Array>();
    again.addEventListener('message', ({ data }) => {
      reader.push(data instanceof Uint8Array ? data : data.subarray(), (one) => heard.resolve(one));
    });
    again.send(frame(encodeBundleMessage({ kind: 'standing', ...desk.own })));
    expect(decodeBundleMessage(await heard.promise)).toMatchObject({
      ok: true,
      value: { kind: 'standing', version: 1 },
    });
  });

  it('a promise of more than any bundle, and more bytes than promised → given up, nothing is taken', async () => {
    const site = makeSite(2);
    const desk = new Desk(1);
    const { mesh } = await start(site, 0, desk);
    let asked = 0;
    const connection = await liar(site, 1, addressOf(mesh), (stream) => {
      const [bytes, part] = asked++ % 2 === 0 ? [2 ** 31, 10] : [5, 10];
      stream.send(frame(encodeBundleMessage({ kind: 'head', bytes })));
      stream.send(frame(encodeBundleMessage({ kind: 'part', bytes: new Uint8Array(part) })));
    });
    const stream = await connection.newStream(bundleProtocol);
    stream.send(frame(encodeBundleMessage({ kind: 'standing', ...standing(7, Uint8Array.from(randomBytes(32))) })));
    await eventually(() => (mesh.counters().bundles?.failed ?? 0) >= 2, { deadlineMs: 8_000, what: 'two tries' });
    expect(desk.taken).toEqual([]);
  });
});
