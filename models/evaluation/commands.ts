import { stat } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { standardVoice, type Voice } from '../commands.ts';
import { type ModelProblem, problem } from '../problem.ts';
import { writePredictions } from './dataset.ts';
import { datasets } from './datasets.ts';

export interface EvaluateRequest {
  /** `skab`, `nab` or `tep`. */
  readonly dataset: string;
  /** Folder of the dataset, or of other series in its format. */
  readonly data: string;
  /** Folder for the predictions; not below `data`. */
  readonly out: string;
  readonly json?: boolean | undefined;
}

/**
 * `millwright model evaluate`: judges every series of a folder and writes one CSV per series at the same path below
 * `out`. Progress goes to standard error. Exit code 0, 1 where a series could not be judged (the others are written),
 * 2 where the request itself is wrong.
 */
export async function evaluateCommand(request: EvaluateRequest, voice: Voice = standardVoice): Promise<number> {
  const refuse = (problems: readonly ModelProblem[], code: number): number => {
    if (request.json) voice.out(`${JSON.stringify({ ok: false, dataset: request.dataset, problems })}\n`);
    else for (const { message } of problems) voice.error(`${message}\n`);
    return code;
  };
  const dataset = datasets.find(({ name }) => name === request.dataset);
  const mistakes = await mistakesOf(request);
  if (dataset === undefined || mistakes.length > 0) return refuse(mistakes, 2);

  const opened = await dataset.open(request.data);
  if (!opened.ok) {
    const { code, message } = opened.error;
    return refuse([problem(code, `${message}. ${dataset.name} is laid out as: ${dataset.layout}`)], 1);
  }
  const { series } = opened.value;
  const problems: ModelProblem[] = [];
  const told: { path: string; rows: number; anomalous: number }[] = [];
  try {
    for (const [i, path] of series.entries()) {
      const judged = await opened.value.judge(path);
      const written = judged.ok ? await writePredictions(request.out, path, judged.value) : judged;
      if (!judged.ok || !written.ok) {
        const { code, message } = written.ok ? problem('runtime-failed', 'not written') : written.error;
        problems.push(problem(code, message.includes(path) ? message : `${path}: ${message}`));
        voice.error(`${dataset.name} ${i + 1}/${series.length} ${path}: not judged\n`);
        continue;
      }
      const anomalous = judged.value.filter(({ anomaly }) => anomaly).length;
      told.push({ path, rows: judged.value.length, anomalous });
      voice.error(
        `${dataset.name} ${i + 1}/${series.length} ${path}: ${judged.value.length} rows, ${anomalous} anomalous\n`,
      );
    }
  } finally {
    await opened.value.close();
  }
  if (problems.length > 0) return refuse(problems, 1);
  if (request.json) {
    voice.out(`${JSON.stringify({ ok: true, dataset: dataset.name, out: request.out, series: told })}\n`);
  } else {
    voice.out(`${request.out}: ${told.length} series of ${dataset.name}\n`);
  }
  return 0;
}

/** What is wrong with the request itself, all at once. */
async function mistakesOf({ dataset, data, out }: EvaluateRequest): Promise<readonly ModelProblem[]> {
  const mistakes: ModelProblem[] = [];
  const names = datasets.map(({ name }) => name);
  if (!names.includes(dataset)) {
    mistakes.push(problem('option-invalid', `there is no dataset "${dataset}"; there are ${names.join(', ')}`));
  }
  const is = await stat(data).catch(() => undefined);
  if (is === undefined || !is.isDirectory()) {
    mistakes.push(problem('data-unreadable', `${data} is ${is === undefined ? 'not there' : 'no folder'}`));
  }
  const inside = relative(resolve(data), resolve(out));
  if (!isAbsolute(inside) && inside !== '..' && !inside.startsWith(`..${sep}`)) {
    mistakes.push(
      problem('option-invalid', `--out ${out} lies in the data; predictions there would be taken for series`),
    );
  }
  return mistakes;
}
