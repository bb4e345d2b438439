import { createSource } from '../../../agent/adapters/plc/create-source.ts';
import type { PlcSource, SourceTiming } from '../../../agent/adapters/plc/source.ts';
import { Random } from '../../../agent/base/random.ts';
import { instant, wallTime } from '../../../agent/base/time.ts';
import type { Sample } from '../../../agent/core/health/signal.ts';
import type { Connection, Tag } from '../../../agent/driver/bindings.ts';

export const clock = { now: () => instant(performance.now()), wall: () => wallTime(Date.now()) };

export const tag = (signal: number, address: string, more: Partial<Tag> = {}): Tag => ({
  signal,
  name: `thing/t${signal}`,
  source: 0,
  address,
  type: 'float64',
  scale: undefined,
  everyMs: 100,
  unit: undefined,
  ...more,
});

export interface Collected {
  readonly source: PlcSource;
  readonly samples: Sample[];
  /** `found` and `lost: reason`, in order. */
  readonly events: string[];
  last(signal: number): Sample | undefined;
}

/** A started source whose words are kept. Quick back-off, so that tests of returning devices are short. */
export function collect(
  connection: Connection,
  tags: readonly Tag[],
  pki: string,
  timing: Partial<SourceTiming> = {},
): Collected {
  const samples: Sample[] = [];
  const events: string[] = [];
  const source = createSource({
    connection,
    tags,
    clock,
    random: new Random(7),
    pki,
    timing: { backoffBaseMs: 50, backoffMostMs: 200, ...timing },
    handlers: {
      onSample: (sample) => samples.push(sample),
      onLost: (reason) => events.push(`lost: ${reason}`),
      onFound: () => events.push('found'),
    },
  });
  source.start();
  return { source, samples, events, last: (signal) => samples.findLast((sample) => sample.signal === signal) };
}
