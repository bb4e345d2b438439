import { expect, test } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { WakeUps } from '../../../simulations/world/wake-ups.ts';

test('wake-ups: armed anew, undone and taken in any order → the earliest of all places is always next', () => {
  const random = new Random(1, 'wake-ups');
  for (const places of [1, 2, 3, 17, 200]) {
    const wakeUps = new WakeUps(places);
    const known = new Map<number, number>();
    for (let turn = 0; turn < 5_000; turn++) {
      const place = random.below(places);
      if (random.chance(0.6)) {
        // Whole numbers, so that some come at the same time.
        const time = turn + random.below(300);
        wakeUps.set(place, time);
        known.set(place, time);
      } else if (random.chance(0.5)) {
        wakeUps.delete(place);
        known.delete(place);
      } else if (known.size > 0) {
        const next = wakeUps.nextPlace;
        expect(known.get(next)).toBe(wakeUps.nextTime);
        wakeUps.delete(next);
        known.delete(next);
      }
      expect(wakeUps.nextTime).toBe(Math.min(...known.values()));
    }
  }
});
