import { Random } from '../../agent/base/random.ts';
import type { Input } from '../../agent/core/input.ts';
import { SimulatedChannels } from '../../simulations/world/channel.ts';
import { EventHeap } from '../../simulations/world/event-heap.ts';
import { calmNetwork, Network, type NetworkOptions } from '../../simulations/world/network.ts';
import { type ChannelHarness, channelSuite, suiteBounds } from './channel-suite.ts';

/** Beyond the kinds of the channel's own events. */
const arrival = 100;

const over = (options: NetworkOptions): ChannelHarness => ({
  start: async (count) => {
    const heap = new EventHeap();
    const received: Input[][] = Array.from({ length: count }, () => []);
    let now = 0;
    const network = new Network(count, options, new Random(1, 'network'));
    const channels = new SimulatedChannels({
      world: {
        now: () => now,
        later: (time, what, a, b, c, payload) => heap.push(time, what, a, b, c, payload),
        deliverAt: (time, agent, input) => heap.push(time, arrival, agent, 0, 0, input),
        isUp: () => true,
        sent: () => {},
        lost: () => {},
      },
      network,
      random: new Random(1, 'channels'),
      bounds: { agents: count, ...suiteBounds },
      cells: Array.from({ length: count }, () => 0),
    });
    for (let agent = 0; agent < count; agent++) channels.started(agent);
    return {
      port: (agent) => channels.port(agent),
      received: (agent) => received[agent]!,
      counters: (agent) => channels.counters[agent]!,
      advance: async (ms) => {
        const until = now + ms;
        while (heap.nextTime <= until) {
          heap.pop();
          now = heap.time;
          if (heap.kind === arrival) received[heap.a]!.push(heap.payload as Input);
          else channels.happen(heap.kind, heap.a, heap.b, heap.c, heap.payload);
        }
        now = until;
      },
      cut: async (a, b) => {
        network.block(a, b);
        network.block(b, a);
        channels.close(a, b);
      },
      heal: async (a, b) => {
        network.unblock(a, b);
        network.unblock(b, a);
      },
      inject: async (from, to, bytes) => channels.inject(from, to, bytes),
      stop: async () => {},
    };
  },
});

channelSuite('simulated', over(calmNetwork));
channelSuite('simulated, over TCP', over({ ...calmNetwork, transport: 'tcp' }));
