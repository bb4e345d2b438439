import { describe, expect, it } from 'vitest';
import { dialable, readAddress } from '../../../agent/adapters/mesh/address.ts';
import { Dialer, dialsAtOnce } from '../../../agent/adapters/mesh/dialer.ts';
import type { Connection } from '../../../agent/adapters/mesh/libp2p-types.ts';
import { Random } from '../../../agent/base/random.ts';

describe('addresses', () => {
  it.each([
    ['10.0.3.7:4001', '/ip4/10.0.3.7/tcp/4001'],
    ['edge-3.plant.local:4001', '/dns/edge-3.plant.local/tcp/4001'],
    ['[fd00::7]:4001', '/ip6/fd00::7/tcp/4001'],
    ['0.0.0.0:0', '/ip4/0.0.0.0/tcp/0'],
    ['/ip4/10.0.3.7/tcp/4001', '/ip4/10.0.3.7/tcp/4001'],
  ])('%s → %s', (text, expected) => {
    expect(readAddress(text).toString()).toBe(expected);
  });

  it.each(['10.0.3.7', '10.0.3.7:', ':4001', '10.0.3.7:99999', '[10.0.3.7]:1', 'a b:x', ''])('%j → refused', (text) => {
    expect(() => readAddress(text)).toThrow(/expected host:port|not IPv6/);
  });

  it("a peer's loopback address → dialled only when the peer is on this box", () => {
    const given = ['127.0.0.1:1', '[::1]:1', '10.0.0.1:1'].map(readAddress);
    const texts = (from: string | undefined): string[] =>
      dialable(given, from === undefined ? undefined : readAddress(from)).map(String);
    expect(texts('10.0.0.1:5')).toEqual(['/ip4/10.0.0.1/tcp/1']);
    expect(texts(undefined)).toEqual(['/ip4/10.0.0.1/tcp/1']);
    expect(texts('127.0.0.1:5').length).toBe(3);
  });
});

describe('dialer', () => {
  /** A dialer on virtual time: `answers` gives the agent at an address, or undefined when nobody is there. */
  const setUp = (answers: (address: string) => number | undefined, keeps?: (agent: number) => boolean) => {
    const dialled: { at: number; address: string }[] = [];
    const connected = new Set<number>();
    const said: string[] = [];
    const say = (_: object, text: string): void => void said.push(text);
    let now = 0;
    const dialer = new Dialer({
      random: new Random(1, 'dialer'),
      log: { debug: say, info: say, warn: say },
      dial: async (address) => {
        dialled.push({ at: now, address: address.toString() });
        const agent = answers(address.toString());
        if (agent === undefined) throw new Error('connection refused');
        if (agent === -1) throw Object.assign(new Error('Can not dial self'), { name: 'InvalidPeerIdError' });
        connected.add(agent);
        return { agent } as unknown as Connection;
      },
      agentOf: (connection) => (connection as unknown as { agent: number }).agent,
      hasConnection: (agent) => connected.has(agent),
      ...(keeps && { keeps }),
      handshakeFailed: () => {},
    });
    const run = async (ms: number): Promise<void> => {
      for (const end = now + ms; now < end; now += 100) {
        dialer.tick(now);
        await Promise.resolve();
        await Promise.resolve();
        await Promise.resolve();
      }
    };
    return { dialer, dialled, connected, said, run, want: (agent: number) => dialer.want(agent, now) };
  };

  it('nobody answers for an hour → still dialled, at least every 5.2 s, and said once', async () => {
    const { dialer, dialled, said, run } = setUp(() => undefined);
    dialer.configure(readAddress('10.0.0.1:1'), 0);
    await run(3_600_000);
    const gaps = dialled.slice(1).map((d, i) => d.at - dialled[i]!.at);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5_200);
    expect(dialled.length).toBeGreaterThan(700);
    expect(dialled.length).toBeLessThan(3_000);
    expect(said).toEqual(['/ip4/10.0.0.1/tcp/1 does not answer: connection refused']);
  });

  it('one to whom no connection is kept → dialled at once when there is something to say, and not before or long after', async () => {
    const { dialer, dialled, connected, run, want } = setUp(
      () => 7,
      (agent) => agent !== 7,
    );
    dialer.learn(7, [readAddress('10.0.0.7:1')], 0);
    await run(60_000);
    expect(dialled).toEqual([]);
    want(7);
    expect(dialled.length).toBe(1);
    await run(1_000);
    expect(connected.has(7)).toBe(true);
    connected.delete(7);
    await run(2_000);
    // There was a word for it a moment ago: the answer may still be on its way.
    expect(dialled.length).toBe(2);
    connected.delete(7);
    await run(60_000);
    expect(dialled.length).toBeLessThanOrEqual(4);
  });

  it('a word for one who does not answer → dialled for five seconds, with pauses', async () => {
    const { dialer, dialled, run, want } = setUp(
      () => undefined,
      () => false,
    );
    dialer.learn(7, [readAddress('10.0.0.7:1')], 0);
    for (let word = 0; word < 10; word++) want(7);
    await run(60_000);
    expect(dialled.length).toBeGreaterThan(1);
    expect(dialled.length).toBeLessThan(12);
    expect(dialled.at(-1)!.at).toBeLessThan(5_500);
  });

  describe('a handshake that ends', () => {
    /** Each dial ends after so many virtual milliseconds with this error, in turn, or succeeds with the agent's number. */
    const ending = async (ends: readonly (readonly [tookMs: number, error: string] | number)[]) => {
      const said: string[] = [];
      let [now, dials, counted] = [0, 0, 0];
      const connected = new Set<number>();
      const dialer = new Dialer({
        random: new Random(2, 'dialer'),
        log: {
          debug: (_, text) => void said.push(`debug ${text}`),
          info: (_, text) => void said.push(`info ${text}`),
          warn: (_, text) => void said.push(`warn ${text}`),
        },
        dial: async () => {
          const end = ends[Math.min(dials++, ends.length - 1)]!;
          if (typeof end === 'number') return { agent: end } as unknown as Connection;
          now += end[0];
          throw Object.assign(new Error('The operation ended'), { name: end[1] });
        },
        agentOf: (connection) => (connection as unknown as { agent: number }).agent,
        hasConnection: (agent) => connected.has(agent),
        handshakeFailed: () => counted++,
        clock: () => now,
      });
      dialer.configure(readAddress('10.0.0.1:1'), 0);
      while (dials < ends.length) {
        dialer.tick(now);
        for (let i = 0; i < 4; i++) await Promise.resolve();
        now += 100;
      }
      return { said, counted };
    };
    const address = '/ip4/10.0.0.1/tcp/1';
    const key = `warn ${address} ended the handshake: most likely its mesh key (mesh.psk) differs from ours, or our key is not on its list of agents`;
    const slow = `info ${address} takes longer than 2 s for a handshake: it, we or the line between are slow`;

    it('at once, again and again → the mesh key is named, once, and all are counted', async () => {
      const { said, counted } = await ending(Array.from({ length: 9 }, () => [30, 'EncryptionFailedError'] as const));
      expect(said).toEqual([`debug ${address} ended a handshake`, key]);
      expect(counted).toBe(9);
    });

    it.each(['EncryptionFailedError', 'UnexpectedEOFError', 'TimeoutError'])(
      'after seconds, with %s → it is slow; nothing is said of keys, nothing is counted against them',
      async (error) => {
        const { said, counted } = await ending([
          [4_990, error],
          [5_000, error],
          [5_010, error],
        ]);
        expect(said.join()).not.toContain('mesh.psk');
        expect(said).toEqual(
          error === 'TimeoutError' ? [`debug ${address} does not answer: The operation ended`] : [slow],
        );
        expect(counted).toBe(0);
      },
    );

    it('once, as when the peer is restarted, then it works; later once more → keys are not named', async () => {
      const { said } = await ending([[30, 'StreamResetError'], 3, [30, 'StreamResetError'], 3]);
      expect(said.join()).not.toContain('mesh.psk');
    });

    it('now at once and now late, as of a box that is busy → keys are not named', async () => {
      const { said } = await ending([
        [30, 'UnexpectedEOFError'],
        [4_000, 'EncryptionFailedError'],
        [30, 'UnexpectedEOFError'],
        [4_000, 'EncryptionFailedError'],
      ]);
      expect(said.join()).not.toContain('mesh.psk');
    });
  });

  it('two thousand addresses behind which nobody is → few dials at once, and a peer that was there before is found again', async () => {
    const ends: { at: number; done: () => void }[] = [];
    const connected = new Set<number>();
    const joined = (): Connection => {
      connected.add(1);
      return { agent: 1 } as unknown as Connection;
    };
    let [now, most] = [0, 0];
    const dialer = new Dialer({
      random: new Random(3, 'dialer'),
      log: { debug: () => {}, info: () => {}, warn: () => {} },
      dial: (address) =>
        new Promise((resolve, reject) => {
          const isGood = address.toString().endsWith('/tcp/7777');
          if (isGood) ends.push({ at: now + 5, done: () => resolve(joined()) });
          else ends.push({ at: now + 5_000, done: () => reject(new Error('no answer')) });
        }),
      agentOf: (connection) => (connection as unknown as { agent: number }).agent,
      hasConnection: (agent) => connected.has(agent),
      handshakeFailed: () => {},
      clock: () => now,
    });
    const run = async (ms: number): Promise<void> => {
      for (const end = now + ms; now < end; now += 200) {
        dialer.tick(now);
        most = Math.max(most, dialer.dialling);
        for (const { done } of ends.filter(({ at }) => at <= now)) done();
        ends.splice(0, ends.length, ...ends.filter(({ at }) => at > now));
        for (let i = 0; i < 4; i++) await Promise.resolve();
      }
    };
    dialer.configure(readAddress('10.0.0.1:7777'), 0);
    await run(1_000);
    expect(connected.has(1)).toBe(true);
    for (let port = 1; port <= 2_000; port++) dialer.configure(readAddress(`10.0.0.1:${port}`), now);
    await run(20_000);
    connected.clear();
    const { dials } = dialer;
    await run(6_000);
    // As soon as one of those under way has ended.
    expect(connected.has(1)).toBe(true);
    expect(dialer.dials - dials).toBeLessThanOrEqual(3 * dialsAtOnce);
    expect(most).toBe(dialsAtOnce);
  });

  it('connected → not dialled; lost → dialled again within 400 ms', async () => {
    const { dialer, dialled, connected, run } = setUp(() => 3);
    dialer.configure(readAddress('10.0.0.1:1'), 0);
    await run(60_000);
    expect(dialled.length).toBe(1);
    connected.delete(3);
    await run(400);
    expect(dialled.length).toBe(2);
  });

  it('our own address among the peers → dialled once, never again', async () => {
    const { dialer, dialled, run } = setUp(() => -1);
    dialer.configure(readAddress('10.0.0.1:1'), 0);
    await run(60_000);
    expect(dialled.length).toBe(1);
  });

  it('a peer gives new addresses → the old ones are forgotten, at most four are kept', async () => {
    const { dialer, dialled, run } = setUp(() => undefined);
    const addresses = (from: number, n: number) =>
      Array.from({ length: n }, (_, i) => readAddress(`10.0.0.${from + i}:1`));
    dialer.learn(2, addresses(1, 9), 0);
    await run(10_000);
    expect(new Set(dialled.map((d) => d.address)).size).toBe(4);
    dialled.length = 0;
    dialer.learn(2, addresses(100, 1), 10_000);
    await run(10_000);
    expect(new Set(dialled.map((d) => d.address))).toEqual(new Set(['/ip4/10.0.0.100/tcp/1']));
  });

  it('an address is configured and has led to the peer → what the peer says of itself is not dialled', async () => {
    const { dialer, dialled, connected, run } = setUp((address) => (address.includes('10.0.0.1') ? 2 : undefined));
    dialer.configure(readAddress('10.0.0.1:1'), 0);
    await run(1_000);
    dialer.learn(2, [readAddress('10.0.0.77:1')], 1_000);
    connected.clear();
    await run(10_000);
    expect(new Set(dialled.map((d) => d.address))).toEqual(new Set(['/ip4/10.0.0.1/tcp/1']));
  });
});
