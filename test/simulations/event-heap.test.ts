import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventHeap } from '../../simulations/world/event-heap.ts';

test('event heap: any times, pushed and popped in any mixture → comes out by time, equal times in the order of pushing', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.boolean()), { maxLength: 3000 }), (steps) => {
      const heap = new EventHeap();
      const model: { time: number; sequence: number }[] = [];
      let sequence = 0;
      const pop = () => {
        model.sort((a, b) => a.time - b.time || a.sequence - b.sequence);
        const expected = model.shift();
        expect(heap.pop()).toBe(expected !== undefined);
        if (expected)
          expect([heap.time, heap.a, heap.payload]).toEqual([
            expected.time,
            expected.sequence,
            `p${expected.sequence}`,
          ]);
      };
      for (const [time, pops] of steps) {
        heap.push(time, 1, sequence, 0, 0, `p${sequence}`);
        model.push({ time, sequence });
        sequence++;
        if (pops) pop();
      }
      while (model.length > 0) pop();
      expect(heap.pop()).toBe(false);
    }),
    { numRuns: 50 },
  );
});
