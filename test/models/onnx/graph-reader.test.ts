import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGraph } from '../../../models/onnx/graph-reader.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { pumpRows } from '../../support/pump-recording.ts';

const trained = trainFromRows(pumpRows({ rows: 300, seed: 'graph' }), ['a', 'b', 'c'], {
  name: 'pump',
  everyMs: 1_000,
});
if (!trained.ok) throw new Error(trained.error.message);
const { onnx } = trained.value;

describe('graph reader', () => {
  it('garbage, cut and changed bytes → a reader that answers, never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(onnx.length), (noise, cut) => {
        for (const bytes of [noise, onnx.slice(0, cut), Uint8Array.from([...onnx.slice(0, cut), ...noise])]) {
          const read = readGraph(bytes);
          if (!read.ok) expect(read.error.message.length).toBeGreaterThan(5);
        }
      }),
    );
    expect(readGraph(new TextEncoder().encode('not a model at all'))).toMatchObject({ ok: false });
  });
});
