import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DemoSite } from './demo-site.ts';
import { sabotagedSteps, sabotageOf } from './sabotage.ts';
import { watchStarter } from './starter-watch.ts';
import { type StepName, stepTitles, storySteps } from './steps.ts';
import { playStep, type StepResult } from './story.ts';
import { showLive } from './view.ts';

const usage = `npm start -- [options]

Starts a hall in miniature: a simulated plant over real OPC UA and Modbus TCP, a coordinator with
broker and console, five agents. Ctrl-C ends everything and leaves nothing behind.

  --once               play the story by itself, then end; exit code 0 only if every step held
  --json               one JSON line per event on standard output, the verdict in the last
  --until STEP         stop after this step
  --only STEP,STEP     play only these steps (members always comes first)
  --sabotage STEP      break that step's mechanism; the story must then fail
  --replay FILE        the pump's sensors play a recorded CSV; the model is fitted on its first 300 rows
  --speed N            rows per second, at least 20 (default 40)
  --broker URL         use an external broker, mqtt://host:port …
  --keys FOLDER        … with the keys and credentials that millwright site init made for it
  --keep               keep the temporary folder for looking around
  --help

Steps: ${storySteps.join(', ')}; with --replay also replay.`;

/** Everything within this, or the story has failed. */
const storyWithinMs = 120_000;

process.exitCode = await main();
process.exit();

async function main(): Promise<number> {
  let values: Flags;
  try {
    values = readFlags();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}\n`);
    return 2;
  }
  if (values.help === true) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  const sabotage = values.sabotage === undefined ? undefined : sabotageOf(values.sabotage);
  const json = values.json === true;
  const once = values.once === true;
  const begun = performance.now();
  const emit = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
  const say = (text: string) => {
    if (json) emit({ event: 'progress', atMs: Math.round(performance.now() - begun), text });
    else process.stderr.write(`${text}\n`);
  };

  // Whatever ends us first — a signal, a dead starter, a closed pipe — ends the hall in the same way.
  let interrupted: string | undefined;
  const interruption = Promise.withResolvers<void>();
  const interrupt = (why: string) => {
    interrupted ??= why;
    interruption.resolve();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt(signal));
  process.stdout.on('error', () => interrupt('standard output closed'));
  watchStarter(() => interrupt('starter is gone'));

  if (sabotage !== undefined) say(`sabotage: ${sabotage.about}`);
  let site: DemoSite | undefined;
  const results: StepResult[] = [];
  let failure: string | undefined;
  try {
    const preparing = DemoSite.prepare({
      replayFile: values.replay === undefined ? undefined : resolve(values.replay),
      speed: Number(values.speed ?? 40),
      broker: values.broker === undefined ? undefined : { url: values.broker, keys: resolve(values.keys ?? '') },
      sabotage,
      say,
      keep: values.keep === true,
    });
    site = await preparing;
    if (interrupted === undefined) await Promise.race([site.start(), interruption.promise]);
    if (interrupted === undefined && once) {
      const running = site;
      await Promise.race([
        interruption.promise,
        (async () => {
          for (const step of stepsToPlay(values)) {
            say(`${stepTitles[step]} …`);
            const result = await playStep(running, step);
            results.push(result);
            if (json) emit({ event: 'step', ...result });
            else process.stdout.write(`${readable(result)}\n`);
            if (!result.ok) break;
          }
        })(),
      ]);
    } else if (interrupted === undefined) {
      const stopView = showLive(site, process.stdout, [
        // The token stands behind the #: a browser keeps that part to itself.
        `Console   ${site.consoleUrl}#token=${site.consoleToken}`,
      ]);
      await interruption.promise;
      stopView();
    }
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
  const totalMs = Math.round(performance.now() - begun);
  if (!json) process.stderr.write('ending …\n');
  await site?.stop();
  if (failure !== undefined) process.stderr.write(`${failure}\n`);
  if (!once) return failure === undefined ? 0 : 1;

  const planned = stepsToPlay(values);
  const ok =
    failure === undefined &&
    interrupted === undefined &&
    results.length === planned.length &&
    results.every((result) => result.ok) &&
    totalMs <= storyWithinMs;
  const timings = { ...site?.timings, totalMs };
  if (json) {
    emit({
      ok,
      ...(failure === undefined ? {} : { failure }),
      ...(interrupted === undefined ? {} : { interrupted }),
      story: results,
      timings,
    });
  } else {
    const verdict = ok
      ? 'the story held'
      : `the story did NOT hold (${results.filter((r) => r.ok).length} of ${planned.length} steps)`;
    process.stdout.write(`\n${verdict} in ${(totalMs / 1000).toFixed(0)} s\n`);
  }
  return ok ? 0 : 1;
}

interface Flags {
  readonly once?: boolean;
  readonly json?: boolean;
  readonly until?: string;
  readonly only?: string;
  readonly sabotage?: string;
  readonly replay?: string;
  readonly speed?: string;
  readonly broker?: string;
  readonly keys?: string;
  readonly keep?: boolean;
  readonly help?: boolean;
}

function readFlags(): Flags {
  const { values } = parseArgs({
    options: {
      once: { type: 'boolean' },
      json: { type: 'boolean' },
      until: { type: 'string' },
      only: { type: 'string' },
      sabotage: { type: 'string' },
      replay: { type: 'string' },
      speed: { type: 'string' },
      broker: { type: 'string' },
      keys: { type: 'string' },
      keep: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  const known = [...storySteps, 'replay'];
  const named = [values.until, values.sabotage, ...(values.only?.split(',') ?? [])];
  for (const step of named) {
    if (step !== undefined && !known.includes(step as StepName)) {
      throw new Error(`there is no step "${step}": they are ${known.join(', ')}`);
    }
  }
  if (values.sabotage !== undefined && !sabotagedSteps.includes(values.sabotage as StepName)) {
    throw new Error(`step "${values.sabotage}" has no sabotage`);
  }
  if (values.sabotage === 'replay' && values.replay === undefined)
    throw new Error('--sabotage replay needs --replay FILE');
  if (values.replay !== undefined && !existsSync(values.replay)) throw new Error(`there is no file ${values.replay}`);
  const speed = Number(values.speed ?? 40);
  if (!(speed >= 20 && speed <= 1000)) throw new Error(`--speed ${values.speed}: 20 to 1000 rows per second`);
  if ((values.broker === undefined) !== (values.keys === undefined)) {
    throw new Error('--broker and --keys go together: the broker must know the passwords that site init made');
  }
  // All of the folder is copied, so it had better be the right one.
  if (values.keys !== undefined && !existsSync(join(values.keys, 'coordinator', 'coordinator.yaml'))) {
    throw new Error(`--keys ${values.keys}: this is no folder that millwright site init made`);
  }
  if (values.broker !== undefined && !/^mqtt:\/\/[^/\s]+$/.test(values.broker)) {
    throw new Error(`--broker ${values.broker}: expected mqtt://host:port`);
  }
  return values;
}

/** In the story's order; `members` first, since every other step stands on it. */
function stepsToPlay(flags: Flags): StepName[] {
  const all: StepName[] =
    flags.replay === undefined
      ? [...storySteps]
      : ['members', 'replay', ...storySteps.filter((step) => step !== 'members')];
  const wanted = flags.only?.split(',');
  const chosen = wanted === undefined ? all : all.filter((step) => step === 'members' || wanted.includes(step));
  const last = flags.until === undefined ? chosen.length - 1 : chosen.indexOf(flags.until as StepName);
  return last < 0 ? chosen : chosen.slice(0, last + 1);
}

function readable(result: StepResult): string {
  const mark = result.ok ? '✔' : '✘';
  const lines = Object.entries(result.evidence).map(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return `    ${name}: ${text.length > 160 ? `${text.slice(0, 159)}…` : text}`;
  });
  return [
    `${mark} ${result.title} (${(result.ms / 1000).toFixed(1)} s)`,
    ...lines,
    ...(result.why === undefined ? [] : [`    did not hold: ${result.why}`]),
  ].join('\n');
}
