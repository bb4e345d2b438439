import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { DutyRunner } from '../../../agent/adapters/duty-runners/runner.ts';
import { createUploadRunner } from '../../../agent/adapters/duty-runners/upload.ts';
import { wallTime } from '../../../agent/base/time.ts';
import type { Checkpoint } from '../../../agent/core/duties/duty.ts';
import type { LogLinesReport } from '../../../agent/core/reporting/report.ts';
import { eventually } from '../../support/eventually.ts';
import { dutyOf, Inbox, silent, temporaryFolder } from './doubles.ts';

const runners: DutyRunner[] = [];
afterEach(async () => {
  for (const runner of runners.splice(0)) await runner.stopAll();
});

function uploadOf(file: string, options: { batchLines?: number; lineBytes?: number; everyMs?: number } = {}) {
  const inbox = new Inbox();
  const reports: LogLinesReport[] = [];
  const outbox = { full: false, asked: 0 };
  const runner = createUploadRunner({
    deliver: inbox.deliver,
    report: (report) => {
      outbox.asked++;
      if (outbox.full) return false;
      reports.push(report);
      return true;
    },
    log: silent,
    everyMs: 10,
    ...options,
  });
  runners.push(runner);
  const lines = () => reports.flatMap((report) => report.lines);
  const start = (checkpoint?: Checkpoint) =>
    runner.start(dutyOf({ kind: 'upload', file }, 5, 'site/log'), 1, checkpoint);
  const checkpoint = (): Checkpoint => {
    const { data } = inbox.of('checkpoint-taken').at(-1)!;
    return { duty: 5, term: 1, sequence: 1, takenAt: wallTime(0), data };
  };
  const has = (...wanted: string[]) =>
    eventually(() => lines().length >= wanted.length).then(() => expect(lines()).toEqual(wanted));
  return { runner, inbox, reports, outbox, lines, start, checkpoint, has };
}

/** Long enough that three looks at the file have passed. */
const looks = () => eventually(() => false, { deadlineMs: 60 }).catch(() => undefined);

describe('upload runner', () => {
  test('lines come one by one → each once, offsets join without a gap', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\ntwo\r\n');
    const upload = uploadOf(file);
    upload.start();
    await upload.has('one', 'two');
    appendFileSync(file, 'three\n');
    await upload.has('one', 'two', 'three');
    expect(upload.reports.map(({ from, to }) => [from, to])).toEqual([
      [0, 9],
      [9, 15],
    ]);
    expect(upload.inbox.of('duty-started')).toHaveLength(1);
  });

  test('last line has no newline yet → it waits for it', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'whole\npart');
    const upload = uploadOf(file);
    upload.start();
    await upload.has('whole');
    await looks();
    expect(upload.lines()).toEqual(['whole']);
    appendFileSync(file, 'ner\n');
    await upload.has('whole', 'partner');
  });

  test('file is not there yet → waited for', async () => {
    const file = join(temporaryFolder(), 'a.log');
    const upload = uploadOf(file);
    upload.start();
    await eventually(() => upload.inbox.of('duty-started').length === 1);
    writeFileSync(file, 'late\n');
    await upload.has('late');
  });

  test('path is a folder → duty failed', async () => {
    const folder = temporaryFolder();
    const upload = uploadOf(folder);
    upload.start();
    const [failed] = await eventually(() =>
      upload.inbox.of('duty-failed').length > 0 ? upload.inbox.of('duty-failed') : undefined,
    );
    expect(failed?.reason).toBe(`${folder} is not a file`);
  });

  test('takeover with the checkpoint → goes on behind the last line, none twice, none lost', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\ntwo\n');
    const first = uploadOf(file);
    first.start();
    await first.has('one', 'two');
    // The checkpoint comes a moment after the outbox took the lines; stopping waits for it.
    await first.runner.stop(5);
    const checkpoint = first.checkpoint();
    appendFileSync(file, 'three\n');
    const second = uploadOf(file);
    second.start(checkpoint);
    await second.has('three');
    await looks();
    expect(second.lines()).toEqual(['three']);
  });

  test('outbox refuses → the offset stays, and the same lines come when it takes again', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\n');
    const upload = uploadOf(file);
    upload.outbox.full = true;
    upload.start();
    await eventually(() => upload.outbox.asked >= 2);
    const offset = () => (JSON.parse(new TextDecoder().decode(upload.checkpoint().data)) as { offset: number }).offset;
    expect(offset()).toBe(0);
    upload.outbox.full = false;
    await upload.has('one');
    await eventually(() => offset() === 4);
  });

  test('file is renamed and a new one begins → rest of the old first, its last line too, then the new', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\n');
    const upload = uploadOf(file);
    upload.start();
    await upload.has('one');
    renameSync(file, `${file}.1`);
    appendFileSync(`${file}.1`, 'two\nthree without end');
    writeFileSync(file, 'four\n');
    await upload.has('one', 'two', 'three without end', 'four');
  });

  test('file was renamed while nobody held the duty → found by its inode and read to its end', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\n');
    const first = uploadOf(file);
    first.start();
    await first.has('one');
    await first.runner.stop(5);
    appendFileSync(file, 'two\n');
    renameSync(file, `${file}.1`);
    writeFileSync(file, 'three\n');
    const second = uploadOf(file);
    second.start(first.checkpoint());
    await second.has('two', 'three');
  });

  test('file is truncated in place → read from its beginning', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\ntwo\n');
    const upload = uploadOf(file);
    upload.start();
    await upload.has('one', 'two');
    truncateSync(file, 0);
    appendFileSync(file, 'new\n');
    await upload.has('one', 'two', 'new');
  });

  test('file is replaced by a longer one on the same inode → its beginning tells, read anew', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\n');
    const upload = uploadOf(file);
    upload.start();
    await upload.has('one');
    writeFileSync(file, 'other first\nother second\n');
    await upload.has('one', 'other first', 'other second');
  });

  test('file is written anew while it is read, again and again → never half a line', async () => {
    const file = join(temporaryFolder(), 'a.log');
    const whole = (i: number): string => `${i} first ${'x'.repeat(i % 7)}.\n${i} second ${'y'.repeat(i % 11)}.\n`;
    writeFileSync(file, whole(0));
    const upload = uploadOf(file, { everyMs: 1 });
    upload.start();
    for (let i = 1; i <= 600; i++) {
      await writeFile(file, whole(i));
      await sleep(i % 3);
    }
    await eventually(() => upload.lines().some((line) => line.startsWith('600 second')), { what: 'the last line' });
    expect(upload.lines().filter((line) => !/^\d+ (first x*|second y*)\.$/.test(line))).toEqual([]);
    expect(upload.lines().length).toBeGreaterThan(100);
  });

  test('another box’s file at the same path → read from its own beginning', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\ntwo\n');
    const first = uploadOf(file);
    first.start();
    await first.has('one', 'two');
    await first.runner.stop(5);
    const elsewhere = join(temporaryFolder(), 'a.log');
    writeFileSync(elsewhere, 'there\nand more than in the first\n');
    const second = uploadOf(elsewhere);
    second.start(first.checkpoint());
    await second.has('there', 'and more than in the first');
  });

  test('file goes away and comes back → no crash, the new one is read', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\n');
    const upload = uploadOf(file);
    upload.start();
    await upload.has('one');
    rmSync(file);
    await looks();
    writeFileSync(file, 'two\n');
    await upload.has('one', 'two');
  });

  test('many lines → batches of bounded size', async () => {
    const file = join(temporaryFolder(), 'a.log');
    const wanted = Array.from({ length: 1_000 }, (_, i) => `line ${i}`);
    writeFileSync(file, `${wanted.join('\n')}\n`);
    const upload = uploadOf(file, { batchLines: 64 });
    upload.start();
    await upload.has(...wanted);
    expect(Math.max(...upload.reports.map((report) => report.lines.length))).toBe(64);
  });

  test('line longer than its bound, and one of 1 MB → cut and marked, the next lines whole', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, `${'x'.repeat(150)}\nshort\n${'y'.repeat(1_000_000)}\nlast\n`);
    const upload = uploadOf(file, { lineBytes: 100 });
    upload.start();
    await upload.has(`${'x'.repeat(100)}…`, 'short', `${'y'.repeat(100)}…`, 'last');
    const ends = upload.reports.map(({ from, to }) => [from, to]);
    for (let i = 1; i < ends.length; i++) expect(ends[i]?.[0]).toBe(ends[i - 1]?.[1]);
  });

  test('checkpoint is garbage → read from the beginning', async () => {
    const file = join(temporaryFolder(), 'a.log');
    writeFileSync(file, 'one\n');
    const upload = uploadOf(file);
    const data = new TextEncoder().encode('{"offset":-5,"inode":"x"}');
    upload.start({ duty: 5, term: 1, sequence: 1, takenAt: wallTime(0), data });
    await upload.has('one');
  });

  test('any order of writes, rotations, takeovers and a full outbox → every line once, in order', async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          do: fc.constant('write' as const),
          text: fc.stringMatching(/^[a-zäß€]{0,12}$/),
          end: fc.boolean(),
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('rotate' as const) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('takeover' as const) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('refuse' as const) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('look' as const) }) },
    );
    const parent = temporaryFolder();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const folder = mkdtempSync(join(parent, 'round-'));
        const file = join(folder, 'a.log');
        writeFileSync(file, '');
        const wanted: string[] = [];
        let open = '';
        let rotations = 0;
        let last: Checkpoint | undefined;
        const got: string[] = [];
        let upload = uploadOf(file, { everyMs: 1 });
        upload.start();
        // From here on the file is known; what was renamed before is nobody's.
        await eventually(() => upload.inbox.of('duty-started').length === 1, { everyMs: 1 });
        const all = () => [...got, ...upload.lines()];
        const caughtUp = () => eventually(() => all().length >= wanted.length, { everyMs: 1, what: 'all lines' });
        for (const one of steps) {
          if (one.do === 'write') {
            appendFileSync(file, one.end ? `${one.text}\n` : one.text);
            open += one.text;
            if (one.end) {
              wanted.push(open);
              open = '';
            }
          } else if (one.do === 'rotate') {
            // Two rotations before anybody looked would leave a file behind that nobody knows of.
            await caughtUp();
            renameSync(file, `${file}.${++rotations}`);
            if (open !== '') wanted.push(open);
            open = '';
            writeFileSync(file, `after rotation ${rotations}\n`);
            wanted.push(`after rotation ${rotations}`);
          } else if (one.do === 'takeover') {
            await upload.runner.stop(5);
            got.push(...upload.lines());
            if (upload.inbox.of('checkpoint-taken').length > 0) last = upload.checkpoint();
            upload = uploadOf(file, { everyMs: 1 });
            upload.start(last);
          } else if (one.do === 'refuse') {
            const { asked } = upload.outbox;
            upload.outbox.full = true;
            appendFileSync(file, 'refused at first\n');
            wanted.push(`${open}refused at first`);
            open = '';
            await eventually(() => upload.outbox.asked > asked, { everyMs: 1, what: 'a refusal' });
            upload.outbox.full = false;
          } else await caughtUp();
        }
        await caughtUp();
        await upload.runner.stop(5);
        expect(all()).toEqual(wanted);
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
