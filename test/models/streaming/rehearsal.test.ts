import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../../../agent/base/random.ts';
import { rehearseCommand } from '../../../models/streaming/rehearsal.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

let data: string;
let said: { out: string; error: string };
const voice = {
  out: (text: string) => {
    said.out += text;
  },
  error: (text: string) => {
    said.error += text;
  },
};

beforeEach(async () => {
  said = { out: '', error: '' };
  const random = new Random('rehearsal', 'flow');
  const lines = Array.from({ length: 700 }, (_, i) => {
    const stamp = new Date(1_700_000_000_000 + i * 60_000).toISOString().slice(0, 19).replace('T', ' ');
    const flow = (i >= 600 && i < 610 ? 70 : 40) + random.float();
    return `${stamp},${flow.toFixed(3)},${i % 50 === 0 ? '' : (5 + random.float()).toFixed(3)}`;
  });
  data = join(await temporaryFolder(), 'run.csv');
  await writeFile(data, `time,flow,level\n${lines.join('\n')}\n`);
});

describe('model rehearse', () => {
  it('tells each event with its time, column and reason, and how much was judged', async () => {
    expect(await rehearseCommand({ data, after: 300, sensitivity: 'low' }, voice)).toBe(0);
    expect(said.out).toMatch(
      /^2023-11-15T08:1\d:00\.000Z {2}flow: .*7\d\.\d+, above the range seen \(40\.?\d* to 4[01]/m,
    );
    expect(said.out).toMatch(/^flow: 1 event in 399 judged rows$/m);
    expect(said.out).toMatch(/^level: 0 events in 385 judged rows$/m);
  });

  it('--json → the same for machines, unusable readings counted', async () => {
    expect(await rehearseCommand({ data, after: 300, columns: 'level', json: true }, voice)).toBe(0);
    const told = JSON.parse(said.out);
    expect(told).toMatchObject({ ok: true, rowMs: 60_000, learnRows: 300, limit: 2, events: [] });
    expect(told.columns).toEqual([{ column: 'level', rows: 685, judged: 385, unusable: 14, late: 0 }]);
  });

  it('a recording that is too short says so', async () => {
    expect(await rehearseCommand({ data, columns: 'flow' }, voice)).toBe(0);
    expect(said.out).toBe('flow: 699 rows, all of them to learn from: it judges after 1440 (--after)\n');
  });

  it('mistakes in the request are told together, with 2; in the recording with 1', async () => {
    expect(await rehearseCommand({ data, everyMs: -1, after: 5, hold: 0.5, sensitivity: 'loud' }, voice)).toBe(2);
    expect(said.error.split('\n')).toEqual([
      '--every -1: expected milliseconds above 0, a day at most',
      '--after 5: expected rows, 100 to 20000',
      '--hold 0.5: expected rows, 0 to 20000',
      '--sensitivity loud: expected high, medium, low',
      '',
    ]);
    said.error = '';
    expect(await rehearseCommand({ data, columns: 'pressure' }, voice)).toBe(1);
    expect(said.error).toContain('pressure');
  });
});
