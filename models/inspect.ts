import { basename, resolve } from 'node:path';
import { formatDuration } from '../agent/config/quantity.ts';
import { type AnyManifest, isForeignManifest, startModel } from './catalog.ts';
import { catalogOf, refuse, standardVoice, type Voice } from './commands.ts';
import type { ForeignManifest } from './foreign/manifest.ts';
import type { Manifest } from './manifest.ts';

/** `millwright model inspect`: what a model is, and whether its files are whole and score as they did when trained. */
export async function inspectCommand(
  request: { readonly model: string; readonly json?: boolean | undefined },
  voice: Voice = standardVoice,
): Promise<number> {
  const file = basename(resolve(request.model));
  const checked = await catalogOf(request.model).check(file);
  if (!checked.ok) return refuse(voice, checked.error, request.json);
  const started = await startModel(file, checked.value);
  if (!started.ok) return refuse(voice, started.error, request.json);
  await started.value.session.release();
  const { manifest } = checked.value;
  if (request.json) {
    const { golden, ...rest } = manifest;
    voice.out(`${JSON.stringify({ ok: true, ...rest, golden: { checked: golden.length } })}\n`);
  } else voice.out(`${inspected(manifest).join('\n')}\n`);
  return 0;
}

/** For whoever runs the machine: what it watches, what raises, how often it may be wrong, what it cannot see. */
export function inspected(manifest: AnyManifest): readonly string[] {
  const { window, recommendedDwell, trainedFrom, onnx, golden } = manifest;
  const { rows, everyMs, maxGapMs } = window;
  const span = rows === 1 ? 'one row at a time' : `the last ${rows} rows (${formatDuration(rows * everyMs)})`;
  return [
    `${manifest.name} ${manifest.version} (${manifest.kind})`,
    `  file         ${onnx.bytes} bytes, sha256 ${onnx.sha256}: whole`,
    `  golden       ${golden.length} vectors score as written`,
    `  trained      ${trainedFrom.rows} rows of ${trainedFrom.file}`,
    `  looks at     ${span}, a row every ${formatDuration(everyMs)}, afresh after a gap of ${formatDuration(maxGapMs)}`,
    'it watches, with the range that was healthy:',
    ...manifest.inputs.map((input) => inputText(input, manifest)),
    ...(isForeignManifest(manifest) ? foreignText(manifest) : ownText(manifest)),
    `  dwell        recommended: raise ${recommendedDwell.raise}, clear ${recommendedDwell.clear} (in scores; the site file decides)`,
    'it cannot see:',
    ...blindSpots(manifest).map((spot) => `  - ${spot}`),
  ];
}

function inputText({ name, unit }: { name: string; unit?: string | undefined }, manifest: AnyManifest): string {
  const range = manifest.distribution.find((one) => one.name === name);
  const told = unit === undefined ? ' (no unit told)' : ` ${unit}`;
  if (range === undefined) return `  input        ${name}${told}: range not known`;
  const { min, median, max, leftOut } = range;
  const note = leftOut === undefined ? '' : `; does not count: it ${leftOut}`;
  return `  input        ${name} ${short(min)} … ${short(median)} … ${short(max)}${told}${note}`;
}

function ownText({ threshold, window }: Manifest): string[] {
  const { falseAlarmRate: rate, driftAllowance, heldOutWindows } = threshold;
  return [
    'what raises, and how often it may be wrong:',
    `  threshold    anomalous above ${threshold.value.toPrecision(4)}: ${threshold.method}; quantile ` +
      `${threshold.quantile.toPrecision(4)} at rate ${rate} over ${heldOutWindows} windows, allowance ${driftAllowance}`,
    `  false alarms on a machine as it was recorded at most ${percent(rate)} of windows lie above the quantile, ` +
      `that is ${perDay(rate, window.everyMs)}; the allowance and the dwell make alarms rarer. A machine that ` +
      'changed is another matter: the drift watch says so',
    ...(threshold.heldOut === undefined ? [] : [`  held out     ${threshold.heldOut}`]),
    '  why          every score names the inputs that it comes from, by their shares',
  ];
}

function foreignText({ outputs, threshold, window, inputs, distribution }: ForeignManifest): string[] {
  const lines = ['what it says:'];
  const { score, class: classes, forecast } = outputs;
  if (score !== undefined && threshold !== undefined) {
    const { falseAlarmRate: rate, healthyWindows } = threshold;
    lines.push(
      `  score        ${place(score)}; anomalous ${score.anomalous} ${short(threshold.value)} (${threshold.method})`,
      rate === undefined
        ? '  false alarms not known: wrap it with --data of healthy rows, or watch it as a shadow first'
        : `  false alarms ${percent(rate)} of ${healthyWindows ?? 0} healthy windows lie beyond it, ${perDay(rate, window.everyMs)} before the dwell`,
      inputs.length > 1 && inputs.every(({ name }) => distribution.some((one) => one.name === name))
        ? '  why          beyond the threshold each input is held at its healthy middle in turn; what the score loses is its share'
        : '  why          cannot be told: no healthy middle of every input is known',
    );
  }
  if (classes !== undefined) {
    const how = classes.from === 'labels' ? 'its label' : 'the largest of its columns';
    const names = Object.entries(classes.labels).map(([key, said]) => `${key} ${said}`);
    lines.push(`  class        ${how} in ${classes.tensor}: ${names.join(', ')}; in conditions class("name") == "…"`);
  }
  if (forecast !== undefined) {
    const { min, max, unit } = forecast;
    const range = min === undefined && max === undefined ? '' : `, believed from ${min ?? '-∞'} to ${max ?? '∞'}`;
    lines.push(`  forecast     ${place(forecast)} in ${unit}${range}; in conditions forecast("name in ${unit}") < …`);
  }
  return lines;
}

function blindSpots(manifest: AnyManifest): string[] {
  const { rows, everyMs } = manifest.window;
  const left = manifest.distribution.flatMap(({ name, leftOut }) => (leftOut === undefined ? [] : [name]));
  const spots = [
    `what none of its ${manifest.inputs.length} inputs measures`,
    'the difference between a fault and a healthy way of running that training never saw',
    'a fault that was in the training rows already',
  ];
  if (rows > 1) {
    spots.push(
      `anything while inputs are stale or bad, or for ${formatDuration(rows * everyMs)} after a gap: then it says nothing`,
      `what is over within one row (${formatDuration(everyMs)})`,
    );
  } else spots.push('how values move over time: it looks at one row at a time');
  if (left.length > 0) spots.push(`${left.join(', ')}: stood still in training`);
  if (manifest.distribution.length === 0) spots.push('its own drift: no healthy range is written down to compare with');
  return spots;
}

const place = ({ tensor, column }: { tensor: string; column: number }): string =>
  column === 0 ? tensor : `column ${column} of ${tensor}`;

const percent = (share: number): string => `${short(share * 100)} %`;

function perDay(rate: number, everyMs: number): string {
  const windows = rate * (86_400_000 / everyMs);
  return `about ${short(Number(windows.toPrecision(2)))} windows a day`;
}

/** Six digits, the trailing noise of binary fractions cut off. */
const short = (value: number): string => String(Number(value.toPrecision(6)));
