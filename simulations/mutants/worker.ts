import { catalogue } from './catalogue.ts';
import { type HuntOptions, hunt, type MutantReport } from './mutant.ts';

/** One mutant to hunt, by its place in the catalogue; plain data. */
export interface Order {
  readonly place: number;
  readonly options: HuntOptions;
}

export type Word =
  | { readonly is: 'hunted'; readonly report: MutantReport }
  /** A trial itself broke: neither found nor not found. */
  | { readonly is: 'failed'; readonly text: string };

const say = (word: Word): void => {
  process.send?.(word);
};

// Ctrl-C reaches every process of a terminal: whoever started us decides what it means.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', ({ place, options }: Order) => {
  try {
    say({ is: 'hunted', report: hunt(catalogue[place]!, options) });
  } catch (error) {
    say({ is: 'failed', text: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
