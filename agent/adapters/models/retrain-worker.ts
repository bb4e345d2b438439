import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { writeModel } from '../../../models/commands.ts';
import { kinds } from '../../../models/training/kinds.ts';
import { type RecordedRows, readRecorded } from '../../../models/training/recorded.ts';
import { isRising, riseOf, steadyRise } from '../../../models/training/rising.ts';
import { median } from '../../../models/training/statistics.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { WindowRing } from '../../../models/window-ring.ts';
import type { FromFit, RetrainAnswer, RetrainTask, WindowScores } from './retrain.ts';

/**
 * The thread that fits a model: it reads the recorder, asks the present model whether something grows in these rows,
 * fits, writes the folder, says what became of it, and waits to be ended: one that ended by itself could do so while it is
 * asked what it uses.
 */
const task = workerData as RetrainTask;
parentPort?.on('message', () => {});

/** Windows that the present model scores; more tell the same medians and cost the budget. */
const mostScored = 3_000;
const batch = 64;

// On Linux this concerns the calling thread only: whoever looks after machines goes first.
try {
  setPriority(0, 19);
} catch {
  // Not allowed, or not this system: the budget of CPU time holds all the same.
}

async function answer(): Promise<RetrainAnswer> {
  const { dataDir, thing, series, everyMs, folder, name, kind, rows, onlyIn } = task;
  const recorded = readRecorded({ dataDir, thing, series, everyMs, rows, onlyIn });
  if (!recorded.ok) return { ok: false, code: 'rows', why: recorded.error.message };
  const rising = await rise(recorded.value);
  if (rising !== undefined) return rising;
  const trained = trainFromRows(recorded.value.rows, recorded.value.columns, {
    name,
    everyMs,
    units: recorded.value.units,
    source: `the recorder of this box, ${thing}`,
    ...(kinds.some((one) => one.name === kind) ? { kind } : {}),
  });
  if (!trained.ok) return { ok: false, code: 'rows', why: trained.error.message };
  await writeModel(folder, trained.value);
  const { onnx, trainedFrom } = trained.value.manifest;
  return { ok: true, sha256: onnx.sha256, rows: trainedFrom.rows };
}

/** Why these rows are none to learn from by the word of the model that scores now; undefined: it has none. */
async function rise({ columns, rows, times }: RecordedRows): Promise<RetrainAnswer | undefined> {
  const { inputs, windowRows, maxGapMs } = task.incumbent;
  const order = inputs.map((input) => columns.indexOf(input));
  const ring = new WindowRing(windowRows, order.length, maxGapMs);
  const width = windowRows * order.length;
  const stride = Math.max(1, Math.floor(rows.length / mostScored));
  const scores: number[] = [];
  /** Of each score, what each input explains. */
  const shares: Float32Array[] = [];
  let windows = new Float32Array(batch * width);
  let waiting = 0;
  const settle = async (): Promise<void> => {
    if (waiting === 0) return;
    const run = await scored({ is: 'windows', windows: windows.slice(0, waiting * width), n: waiting });
    for (let i = 0; i < waiting; i++) {
      const score = run.scores[i] ?? Number.NaN;
      if (!Number.isFinite(score)) continue;
      scores.push(score);
      shares.push(run.contributions.slice(i * order.length, (i + 1) * order.length));
    }
    windows = new Float32Array(batch * width);
    waiting = 0;
  };
  for (const [i, row] of rows.entries()) {
    const values = order.map((column) => row[column] ?? Number.NaN);
    const window = ring.push(times[i] ?? 0, values);
    if (window === undefined || i % stride !== 0) continue;
    windows.set(window, waiting++ * width);
    if (waiting === batch) await settle();
  }
  await settle();
  const perWindow = windowRows / stride;
  if (!isRising(scores, perWindow)) return undefined;
  const third = Math.floor(scores.length / 3);
  const [first, last] = [median(scores.slice(0, third)), median(scores.slice(-third))];
  const blame = inputs
    .map((name, c) => ({ name, share: shares.slice(-third).reduce((sum, one) => sum + (one[c] ?? 0), 0) / third }))
    .filter(({ share }) => share >= 0.15)
    .sort((a, b) => b.share - a.share)
    .slice(0, 3)
    .map(({ name, share }) => `${name} ${Math.round(share * 100)} %`);
  const why =
    `the machine became stranger while these rows were recorded: by the present model the median score rose from ` +
    `${figure(first)} to ${figure(last)}, ${figure(riseOf(scores, perWindow) ?? 0)} times (${steadyRise} is allowed)` +
    `${blame.length === 0 ? '' : `, by ${blame.join(', ')}`}. A fault may be growing, and a model that learns it ` +
    `is blind to it: look at the machine first`;
  return { ok: false, code: 'rising', why };
}

const figure = (value: number): string => String(Number(value.toPrecision(3)));

const say = (what: FromFit): void => parentPort?.postMessage(what);
/** One question at a time; without an answer the thread waits, and its time runs out. */
function scored(question: FromFit): Promise<WindowScores> {
  return new Promise((resolve) => {
    parentPort?.once('message', resolve);
    say(question);
  });
}

say({
  is: 'done',
  answer: await answer().catch(
    (cause: unknown): RetrainAnswer => ({
      ok: false,
      code: 'broken',
      why: cause instanceof Error ? cause.message : String(cause),
    }),
  ),
});
