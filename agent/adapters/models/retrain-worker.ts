import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { writeModel } from '../../../models/commands.ts';
import { kinds } from '../../../models/training/kinds.ts';
import { readRecorded } from '../../../models/training/recorded.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import type { RetrainAnswer, RetrainTask } from './retrain.ts';

/** The thread that fits a model: it reads the recorder, fits, writes the folder, says what became of it, and ends. */
const task = workerData as RetrainTask;

// On Linux this concerns the calling thread only: whoever looks after machines goes first.
try {
  setPriority(0, 19);
} catch {
  // Not allowed, or not this system: the budget of CPU time holds all the same.
}

async function answer(): Promise<RetrainAnswer> {
  const { dataDir, thing, series, everyMs, folder, name, kind, rows } = task;
  const recorded = readRecorded({ dataDir, thing, series, everyMs, rows });
  if (!recorded.ok) return { ok: false, why: recorded.error.message };
  const trained = trainFromRows(recorded.value.rows, recorded.value.columns, {
    name,
    everyMs,
    units: recorded.value.units,
    source: `the recorder of this box, ${thing}`,
    ...(kinds.some((one) => one.name === kind) ? { kind } : {}),
  });
  if (!trained.ok) return { ok: false, why: trained.error.message };
  await writeModel(folder, trained.value);
  const { onnx, trainedFrom } = trained.value.manifest;
  return { ok: true, sha256: onnx.sha256, rows: trainedFrom.rows };
}

parentPort?.postMessage(
  await answer().catch(
    (cause: unknown): RetrainAnswer => ({
      ok: false,
      why: cause instanceof Error ? cause.message : String(cause),
    }),
  ),
);
