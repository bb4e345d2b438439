import { describe, expect, it } from 'vitest';
import { LineOutput } from '../../agent/adapters/line-output.ts';
import { eventually } from '../support/eventually.ts';

const failure = (code: string): Error => Object.assign(new Error(code), { code });

describe('line output', () => {
  it('held → the first line is the one that releases, the others follow in order', () => {
    let text = '';
    const lines = new LineOutput(1, (_fd, bytes) => {
      text += Buffer.from(bytes).toString();
      return bytes.length;
    });
    lines.hold();
    lines.line({ n: 1 });
    lines.line({ n: 2 });
    expect(text).toBe('');
    lines.release({ ready: true });
    lines.line({ n: 3 });
    expect(text).toBe('{"ready":true}\n{"n":1}\n{"n":2}\n{"n":3}\n');
  });

  it('pipe full, then taken in pieces → nothing lost, nothing torn, nobody waits', async () => {
    let text = '';
    let full = true;
    const lines = new LineOutput(1, (_fd, bytes) => {
      if (full) throw failure('EAGAIN');
      text += Buffer.from(bytes.subarray(0, 5)).toString();
      return Math.min(5, bytes.length);
    });
    for (let n = 0; n < 20; n++) lines.line({ n });
    expect(text).toBe('');
    full = false;
    const wanted = Array.from({ length: 20 }, (_, n) => `{"n":${n}}\n`).join('');
    await eventually(() => text === wanted);
    expect(lines.lost).toBe(0);
  });

  it('reader never comes back → bounded, and what found no place is counted', () => {
    const lines = new LineOutput(1, () => {
      throw failure('EAGAIN');
    });
    for (let n = 0; n < 5_000; n++) lines.line({ n });
    expect(lines.lost).toBe(5_000 - 4_096);
  });

  it('reader gone → silence, not an exception', () => {
    const lines = new LineOutput(1, () => {
      throw failure('EPIPE');
    });
    lines.line({ n: 1 });
    lines.line({ n: 2 });
    expect(lines.lost).toBe(0);
  });
});
