import { describe, expect, it } from 'vitest';
import { Random } from '../../agent/base/random.ts';
import { FrameReader, frame } from '../../agent/wire/frame.ts';

describe('frames', () => {
  it('written, joined, cut anywhere → read back in order', () => {
    const random = new Random(1, 'frames');
    const sizes = [0, 1, 127, 128, 16_383, 16_384, 65_600];
    const sent = sizes.map((size) => Uint8Array.from({ length: size }, () => random.below(256)));
    const stream = Buffer.concat(sent.map(frame));
    for (let round = 0; round < 50; round++) {
      const reader = new FrameReader(70_000);
      const got: Buffer[] = [];
      for (let at = 0; at < stream.length; ) {
        const end = Math.min(stream.length, at + 1 + random.below(round < 25 ? 9_000 : 90_000));
        expect(reader.push(stream.subarray(at, end), (f) => got.push(Buffer.from(f)))).toBe(true);
        at = end;
      }
      expect(got.length).toBe(sent.length);
      for (const [i, f] of got.entries()) expect(f.equals(sent[i]!)).toBe(true);
      expect(reader.held).toBe(0);
    }
  });

  it('a length above the limit → broken for good, nothing held', () => {
    const reader = new FrameReader(100);
    const got: number[] = [];
    expect(
      reader.push(Buffer.concat([frame(new Uint8Array(100)), frame(new Uint8Array(101))]), (f) => got.push(f.length)),
    ).toBe(false);
    expect(got).toEqual([100]);
    expect(reader.push(frame(new Uint8Array(1)), (f) => got.push(f.length))).toBe(false);
    expect(got).toEqual([100]);
    expect(reader.held).toBe(0);
  });

  it('a length that does not end → broken', () => {
    expect(new FrameReader(100).push(new Uint8Array([0x80, 0x80, 0x80, 1]), () => {})).toBe(false);
  });
});
