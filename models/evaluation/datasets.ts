import type { Dataset } from './dataset.ts';
import { nab } from './nab.ts';
import { skab } from './skab.ts';
import { tep } from './tep.ts';

/** Every benchmark that `millwright model evaluate --dataset` knows. */
export const datasets: readonly Dataset[] = [skab, nab, tep];
