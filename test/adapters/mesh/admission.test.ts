import { connect } from 'node:net';
import { noise } from '@libp2p/noise';
import { preSharedKey } from '@libp2p/pnet';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p, type Libp2p } from 'libp2p';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readAddress } from '../../../agent/adapters/mesh/address.ts';
import { RefusalLedger } from '../../../agent/adapters/mesh/admission.ts';
import type { Mesh } from '../../../agent/adapters/mesh/mesh.ts';
import { agentId } from '../../../agent/base/ids.ts';
import type { Input } from '../../../agent/core/input.ts';
import { signRoster, verifyRoster } from '../../../agent/wire/roster.ts';
import { eventually } from '../../support/eventually.ts';
import { addressOf, digest, makeKey, makeSite, startAgent, type TestAgent, type TestSite } from './site.ts';

const refusals = (agent: TestAgent): Extract<Input, { kind: 'intruder-refused' }>[] =>
  agent.received.flatMap((i) => (i.kind === 'intruder-refused' ? [i] : []));

describe('admission with real nodes', () => {
  let site: TestSite;
  let guard: TestAgent;
  let address: string;
  const meshes: Mesh[] = [];
  const nodes: Libp2p[] = [];
  const start = async (...args: Parameters<typeof startAgent>): Promise<TestAgent> => {
    const agent = await startAgent(...args);
    meshes.push(agent.mesh);
    return agent;
  };
  /** A libp2p node of nobody's making: the settings of the documentation, a key of its own. */
  const stranger = async (psk: string | undefined): Promise<Libp2p> => {
    const node = await createLibp2p({
      transports: [tcp()],
      ...(psk === undefined ? {} : { connectionProtector: preSharedKey({ psk: new TextEncoder().encode(psk) }) }),
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
    });
    nodes.push(node);
    return node;
  };
  const knock = async (node: Libp2p): Promise<void> => {
    // Whether the dial resolves or rejects is the other side's business; what counts is what the guard saw.
    await node.dial(readAddress(address), { signal: AbortSignal.timeout(5_000) }).catch(() => {});
  };

  beforeEach(async () => {
    site = makeSite(3);
    guard = await start(site, 0, []);
    address = addressOf(guard.mesh);
  });

  afterEach(async () => {
    await Promise.all([...meshes.splice(0).map((mesh) => mesh.stop()), ...nodes.splice(0).map((node) => node.stop())]);
  });

  it('a stranger without a mesh key → refused before its handshake times out, counted, told once', async () => {
    const node = await stranger(undefined);
    void knock(node);
    await eventually(() => refusals(guard).length > 0, { deadlineMs: 4_000, what: 'refusal' });
    expect(refusals(guard)).toEqual([
      { kind: 'intruder-refused', reason: 'wrong-mesh-key', peer: '/ip4/127.0.0.1', count: 1 },
    ]);
    expect(guard.mesh.counters().refused['wrong-mesh-key']).toBe(1);
    expect(guard.said.join('\n')).toContain('knocked without a mesh key');
    await eventually(() => guard.mesh.counters().connections === 0, { what: 'no connection left' });
  });

  it('a stranger with another mesh key → refused before its handshake times out, counted, both sides read why', async () => {
    const other = makeSite(3);
    // The same list and the same agent key, only mesh.psk differs: a mistake as people make it.
    const agent = await start({ ...site, psk: other.psk }, 1, [address]);
    await eventually(() => refusals(guard).length > 0, { deadlineMs: 4_000, what: 'refusal' });
    expect(refusals(guard)[0]).toEqual({
      kind: 'intruder-refused',
      reason: 'wrong-mesh-key',
      peer: '/ip4/127.0.0.1',
      count: 1,
    });
    expect(guard.said.join('\n')).toContain('mesh.psk differs');
    await eventually(() => agent.said.some((text) => text.includes('mesh.psk')), { what: 'message at the dialler' });
    expect(agent.mesh.counters().handshakesFailed).toBeGreaterThan(0);
    expect(agent.received.filter((i) => i.kind === 'peer-connected')).toEqual([]);
  });

  it('a stranger with the mesh key, not on the list → refused by its key, counted, told once', async () => {
    const node = await stranger(site.psk);
    await knock(node);
    await eventually(() => refusals(guard).length > 0, { deadlineMs: 4_000, what: 'refusal' });
    expect(refusals(guard)).toEqual([
      { kind: 'intruder-refused', reason: 'not-on-list', peer: node.peerId.toString(), count: 1 },
    ]);
    expect(guard.mesh.counters().refused).toEqual({ 'wrong-mesh-key': 0, 'not-on-list': 1, garbage: 0 });
    await eventually(() => guard.mesh.counters().connections === 0, { what: 'no connection left' });
  });

  it('knocking on and on → all counted, told once per ten seconds', async () => {
    const node = await stranger(site.psk);
    for (let i = 0; i < 5; i++) await knock(node);
    await eventually(() => guard.mesh.counters().refused['not-on-list'] === 5, { what: 'five refusals' });
    expect(refusals(guard).length).toBe(1);
  });

  it('an agent that is not yet on their list → both sides read why; enrolled while they run → gets in', async () => {
    const key = makeKey();
    const agents = [...site.roster.agents, { id: agentId('edge-9'), key: key.open }];
    const longer = verifyRoster(
      signRoster({ ...site.roster, version: 2, agents }, site.siteKeyPem),
      site.sitePublicPem,
    );
    if (!longer.ok) throw new Error(longer.error.text);
    const agentIds = [...site.agentIds, agentId('edge-9')];
    const privateKeys = [...site.privateKeys, key.secret];
    const planned = await start(site, 1, [], { agentIds });
    const agent = await start({ ...site, agentIds, privateKeys, roster: longer.value }, 3, [addressOf(planned.mesh)]);
    await eventually(() => agent.said.some((text) => /not be on its list|not on its list/.test(text)), {
      what: 'a plain message at the newcomer',
    });
    expect(refusals(planned)[0]).toMatchObject({ reason: 'not-on-list', peer: agent.mesh.peerId });
    expect(agent.received.filter((i) => i.kind === 'peer-connected')).toEqual([]);

    planned.mesh.updateRoster(longer.value);
    await eventually(() => agent.mesh.isConnected(1) && planned.mesh.isConnected(3), {
      deadlineMs: 15_000,
      what: 'the enrolled agent gets in',
    });
  });

  it('an agent on the list that our plan has no number for → stays connected, is not delivered', async () => {
    const key = makeKey();
    const agents = [...site.roster.agents, { id: agentId('edge-9'), key: key.open }];
    const longer = verifyRoster(
      signRoster({ ...site.roster, version: 2, agents }, site.siteKeyPem),
      site.sitePublicPem,
    );
    if (!longer.ok) throw new Error(longer.error.text);
    guard.mesh.updateRoster(longer.value);
    const agentIds = [...site.agentIds, agentId('edge-9')];
    const privateKeys = [...site.privateKeys, key.secret];
    const newcomer = { ...site, agentIds, privateKeys, roster: longer.value };
    const agent = await start(newcomer, 3, [address], { planHash: 'plan B' });
    let sequence = 0;
    await eventually(
      () => {
        agent.mesh.port.publish(digest(3, ++sequence));
        return guard.mesh.counters().gossip.otherPlan >= 10;
      },
      { everyMs: 100, deadlineMs: 15_000, what: 'ten digests heard and ignored' },
    );
    expect(guard.mesh.counters().connections).toBe(1);
    expect(agent.mesh.counters().dials).toBe(1);
    expect(guard.received).toEqual([]);
  });

  it('an enrolled agent → gets in, and both hear of it', async () => {
    const agent = await start(site, 1, [address]);
    await eventually(() => agent.mesh.isConnected(0) && guard.mesh.isConnected(1), { what: 'connected' });
    expect(guard.received).toContainEqual({ kind: 'peer-connected', peer: 1 });
    expect(agent.received).toContainEqual({ kind: 'peer-connected', peer: 0 });
    expect(guard.mesh.counters().refused).toEqual({ 'wrong-mesh-key': 0, 'not-on-list': 0, garbage: 0 });
  });

  it('an agent taken off the list while connected → cut off, and refused when it comes back', async () => {
    const agent = await start(site, 1, [address]);
    await eventually(() => agent.mesh.isConnected(0) && guard.mesh.isConnected(1), { what: 'connected' });
    const agents = site.roster.agents.filter((a) => a.id !== 'edge-2');
    const shorter = verifyRoster(
      signRoster({ ...site.roster, version: 2, agents }, site.siteKeyPem),
      site.sitePublicPem,
    );
    guard.mesh.updateRoster(shorter.ok ? shorter.value : site.roster);
    await eventually(() => !agent.mesh.isConnected(0), { what: 'cut off' });
    await eventually(() => guard.mesh.counters().refused['not-on-list'] > 0, { deadlineMs: 10_000, what: 'refused' });
    expect(guard.mesh.isConnected(1)).toBe(false);
  });

  it('bytes that are no libp2p → connection ended, counted, the mesh goes on', async () => {
    const [host, port] = address.split(':');
    for (const bytes of ['GET / HTTP/1.1\r\nHost: press\r\n\r\n', '\0'.repeat(200), 'x'.repeat(100_000)]) {
      const socket = connect(Number(port), host);
      socket.on('error', () => {});
      socket.write(bytes);
      await eventually(() => socket.closed || socket.destroyed || socket.readableEnded, {
        deadlineMs: 8_000,
        what: `end of ${bytes.slice(0, 8)}`,
      });
      socket.destroy();
    }
    expect(guard.mesh.counters().refused['wrong-mesh-key']).toBe(3);
    const agent = await start(site, 1, [address]);
    await eventually(() => agent.mesh.isConnected(0), { what: 'an honest agent gets in' });
  });

  it('own key is not the one on the list → startMesh says so in plain words', async () => {
    const wrong = { ...site, privateKeys: [site.privateKeys[1]!, ...site.privateKeys.slice(1)] };
    await expect(startAgent(wrong, 0, [])).rejects.toThrow('not the one on the list of agents');
  });

  it.each<[string, object, string | RegExp]>([
    ['no mesh key', { psk: 'nonsense' }, 'mesh cannot be set up'],
    ['no key', { privateKeyPem: 'nonsense' }, 'no private key in PEM form'],
    ['no port', { listen: ['127.0.0.1'] }, 'expected host:port'],
    [
      'no address of ours',
      { listen: ['192.0.2.1:4000'] },
      /^the mesh cannot listen at 192.0.2.1:4000: listen E\w+: .*4000$/,
    ],
  ])('%s in the configuration → startMesh says so in plain words', async (_what, change, words) => {
    await expect(startAgent(site, 0, [], change)).rejects.toThrow(words);
  });
});

describe('refusal ledger', () => {
  it('a stranger knocks → told at once, then summed up every ten seconds, then forgotten', () => {
    const told: [string, number][] = [];
    const ledger = new RefusalLedger((_reason, peer, count) => told.push([peer, count]));
    for (let ms = 0; ms < 10_000; ms += 100) ledger.record(ms, 'not-on-list', 'a', '');
    expect(told).toEqual([['a', 1]]);
    ledger.tick(10_000);
    expect(told).toEqual([
      ['a', 1],
      ['a', 99],
    ]);
    ledger.tick(20_000);
    ledger.record(20_001, 'not-on-list', 'a', '');
    expect(told.at(-1)).toEqual(['a', 1]);
    expect(ledger.totals['not-on-list']).toBe(101);
  });

  it('ten thousand strangers → memory for 256, the rest share a line', () => {
    const told: string[] = [];
    const ledger = new RefusalLedger((_reason, peer) => told.push(peer));
    for (let i = 0; i < 10_000; i++) ledger.record(0, 'not-on-list', `s${i}`, '');
    expect(told.length).toBe(257);
    expect(told.at(-1)).toBe('many others');
    expect(ledger.totals['not-on-list']).toBe(10_000);
  });
});
