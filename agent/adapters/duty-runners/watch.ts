import type { Deliver } from '../../driver/ports.ts';
import type { DutyRunner } from './runner.ts';

/**
 * Watching an asset without a connection is done by the core's check schedule on whoever holds the duty: there is
 * nothing to start here but the word that it has.
 */
export function createWatchRunner(options: { readonly deliver: Deliver }): DutyRunner {
  return {
    start: (duty) => options.deliver({ kind: 'duty-started', duty: duty.index }),
    stop: async () => {},
    stopAll: async () => {},
  };
}
