import { describe, expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { calmNetwork, type NetworkOptions } from '../../../simulations/world/network.ts';
import { sitePlan } from '../../../simulations/world/plan.ts';
import { World } from '../../../simulations/world/world.ts';

interface Seen {
  /** Somebody held somebody dead who lived. */
  readonly falseDeaths: number;
  readonly traceHash: string;
  readonly messages: number;
}

/** Five boxes that come up in the calm; then this share of all packets is lost for a while. */
function lossy(seed: number, loss: number, seconds: number, over: Partial<NetworkOptions>): Seen {
  const random = new Random(seed, 'lossy streams');
  const plan = sitePlan({ agents: 5, duties: 1, random: random.fork('plan') });
  let falseDeaths = 0;
  const world = new World({
    plan,
    seed,
    network: { ...calmNetwork, ...over },
    clockDrift: 0.0001,
    watch: {
      observed: (_at, _observer, observation) => {
        if (observation.kind === 'member-changed' && observation.to === 'dead') falseDeaths++;
      },
    },
  });
  for (let agent = 0; agent < 5; agent++) world.at(random.between(0, 500), () => world.start(agent));
  world.run(15_000);
  world.setNetwork({ ...world.network.options, loss });
  world.run(15_000 + seconds * 1_000);
  return { falseDeaths, traceHash: world.trace.hex, messages: world.traffic.messages };
}

describe('lossy streams', () => {
  /** Three packets of ten lost, over TCP: this seed held living members dead before words went beside silent streams. */
  const seed = 1;

  test('30 % lost, streams alone → the living are held dead; with datagrams beside silent streams → nobody is', () => {
    expect(lossy(seed, 0.3, 60, { transport: 'tcp', datagrams: false }).falseDeaths).toBeGreaterThan(0);
    expect(lossy(seed, 0.3, 60, { transport: 'tcp' }).falseDeaths).toBe(0);
  });

  test('nothing lost → not one word goes beside a stream: the same trace with datagrams and without', () => {
    const [with_, without] = [{}, { datagrams: false }].map((more) => lossy(1, 0, 30, { transport: 'tcp', ...more }));
    expect(with_).toEqual(without);
  });

  test('the same seed → the same trace; thin streams → another', () => {
    const story = (transport: 'tcp' | 'tcp-thin') => lossy(2, 0.25, 20, { transport }).traceHash;
    expect(story('tcp')).toBe(story('tcp'));
    expect(story('tcp')).not.toBe(story('tcp-thin'));
  });
});
