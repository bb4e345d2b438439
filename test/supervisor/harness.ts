import { onTestFinished } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type BoxOptions, type Supervised, startBox } from './box.ts';

export { duty, marked, node } from './box.ts';

let serial = 0;

/** A supervised box for one test, past its `hello`. It kills early, so that a busy machine does not make it late. */
export async function supervised(options: Partial<BoxOptions> = {}): Promise<Supervised> {
  const folder = options.folder ?? (await temporaryFolder());
  const box = startBox({ name: `test-${process.pid}-${++serial}`, killMs: '500', ...options, folder });
  onTestFinished(() => box.dispose());
  await box.heard('hello');
  return box;
}
