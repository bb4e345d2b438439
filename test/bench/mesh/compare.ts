import { Random } from '../../../agent/base/random.ts';
import { Network } from './namespaces.ts';
import { ourselves, type Product, serf } from './products.ts';
import { Trial, type TrialOptions, type TrialResult } from './trial.ts';

export interface CompareOptions extends TrialOptions {
  readonly peer: 'serf' | 'none';
  readonly sizes: readonly number[];
  readonly preset: string;
  /** What is run of ours: millwright.ts, or dist/millwright.js. */
  readonly program: string;
  readonly encrypted: boolean;
  /** Our boxes, and theirs: see `Network`. */
  readonly evenPace: boolean;
  readonly seed: number;
}

/**
 * The same trial for each product and size, one after the other. What ends this process takes everything away first;
 * only `kill -9` does not, and then the next run does.
 */
export async function compare(options: CompareOptions, say: (text: string) => void): Promise<readonly TrialResult[]> {
  const products: readonly Product[] = [
    ourselves(options.preset, options.program),
    ...(options.peer === 'serf' ? [serf(options.encrypted)] : []),
  ];
  let running: Trial | undefined;
  const tidy = () => running?.end();
  process.on('exit', tidy);
  const results: TrialResult[] = [];
  try {
    for (const size of options.sizes) {
      for (const product of products) {
        // The same victims at the same moments for all of them.
        const random = new Random(options.seed, `trial of ${size}`);
        const named = (text: string) => say(`${product.name}, ${size}: ${text}`);
        running = new Trial(product, new Network(size, options.evenPace), random, named);
        results.push(await running.run(options));
        running.end();
        running = undefined;
      }
    }
  } finally {
    tidy();
    process.off('exit', tidy);
  }
  return results;
}
