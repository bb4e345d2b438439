import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browsed, browse } from '../adapters/plc/browse.ts';
import { createSource } from '../adapters/plc/create-source.ts';
import { pause, reasonOf } from '../adapters/plc/keep-connected.ts';
import type { ControllerQuestion } from '../adapters/plc/source.ts';
import { sourceTiming } from '../adapters/plc/source.ts';
import { Random } from '../base/random.ts';
import { instant, wallTime } from '../base/time.ts';
import { parseDuration } from '../config/quantity.ts';
import type { Sample } from '../core/health/signal.ts';
import type { Tag } from '../driver/bindings.ts';
import { columns, jsonOf, sampleRow, tree } from './readable.ts';
import { targetOfSite } from './site-target.ts';
import { parseAddresses, parseDeviceUrl, type Target } from './target.ts';

export interface PlcOptions {
  readonly site?: string;
  readonly thing?: string;
  readonly user?: string;
  readonly secret?: string;
  readonly security?: string;
  readonly pki?: string;
  readonly from?: string;
  readonly depth?: string;
  readonly most?: string;
  readonly filter?: string;
  readonly every?: string;
  readonly for?: string;
  readonly facts?: boolean;
  readonly json?: boolean;
}

/** What comes out, and where; tests bring their own. */
export interface PlcSurroundings {
  readonly out: (line: string) => void;
  readonly err: (line: string) => void;
  /** Ends a watch: Ctrl-C. */
  readonly signal: AbortSignal;
}

const clock = { now: () => instant(performance.now()), wall: () => wallTime(Date.now()) };
/** A person waits for it. */
const answerMs = 5_000;
/** And for a connection that a watch with an end has not got yet. */
const connectWithinMs = 10_000;

/**
 * `plc browse`, `read`, `watch`: looks at a device, named by a thing of a site file or by its address, and changes nothing
 * on it. Exit codes: 0 all is good, 1 it answered and something is not good, 2 it was not reached or not understood.
 */
export async function plcCommand(
  verb: 'browse' | 'read' | 'watch',
  args: readonly string[],
  options: PlcOptions,
  { out, err, signal }: PlcSurroundings,
): Promise<0 | 1 | 2> {
  const everyMs = timeOf(options.every, verb === 'watch' ? 1_000 : 200);
  const forMs = timeOf(options.for, verb === 'browse' ? 5_000 : answerMs);
  const depth = wholeOf(options.depth, 4, 12);
  const most = wholeOf(options.most, 500, 10_000);
  const wrong = [
    everyMs === undefined && `--every ${options.every}: say a time such as 500ms`,
    forMs === undefined && `--for ${options.for}: say a time such as 10s`,
    depth === undefined && `--depth ${options.depth}: say 1 to 12`,
    most === undefined && `--most ${options.most}: say 1 to 10000`,
  ].filter((one) => typeof one === 'string');
  const target = wrong.length > 0 ? undefined : targetOf(verb, args, options, everyMs!);
  if (target === undefined || typeof target === 'string') {
    for (const line of [...wrong, ...(target === undefined ? [] : [target])]) err(line);
    return 2;
  }
  // Keys and certificates of a look without --pki are gone after it: no server knows them anyway.
  const passing = options.pki === undefined ? mkdtempSync(join(tmpdir(), 'millwright-plc-')) : undefined;
  const pki = options.pki ?? passing!;
  try {
    if (verb === 'browse') {
      const found = await browse(target.connection, {
        from: options.from,
        depth: depth!,
        most: most!,
        listenMs: forMs!,
        pki,
        timing: sourceTiming,
        signal,
      });
      return showBrowsed(target, found, options, out, err);
    }
    return verb === 'read'
      ? await read(target, pki, forMs!, options, out, err)
      : await watch(target, pki, options.for === undefined ? undefined : forMs!, options, { out, err, signal });
  } catch (error) {
    err(`${target.name}: ${reasonOf(error)}`);
    return 2;
  } finally {
    if (passing !== undefined) rmSync(passing, { recursive: true, force: true });
  }
}

function targetOf(verb: string, args: readonly string[], options: PlcOptions, everyMs: number): Target | string {
  if (options.site !== undefined) {
    const found = targetOfSite(options.site, options.thing, args);
    if (!found.ok) return found.error;
    // A look does not wait for the pace of the site file.
    const tags =
      verb === 'read'
        ? found.value.tags.map((tag, i) => ({ ...tag, signal: i, everyMs }))
        : found.value.tags.map((tag, i) => ({ ...tag, signal: i }));
    return { ...found.value, tags };
  }
  const [url, ...addresses] = args;
  if (url === undefined) return 'say which device: its address, or --site FILE --thing NAME (--help shows the forms)';
  const connection = parseDeviceUrl(url, options);
  if (!connection.ok) return connection.error;
  const tags = parseAddresses(connection.value, addresses, everyMs);
  if (!tags.ok) return tags.error.join('\n');
  if (verb !== 'browse' && addresses.length === 0 && options.facts !== true)
    return 'say what to read: one or more addresses, as browse shows them';
  return { name: url, connection: connection.value, tags: tags.value };
}

function showBrowsed(
  target: Target,
  { rows, cut }: Browsed,
  options: PlcOptions,
  out: (line: string) => void,
  err: (line: string) => void,
): 0 | 1 {
  const wanted = options.filter?.toLowerCase();
  const chosen =
    wanted === undefined
      ? rows
      : rows.filter(({ name, address }) => `${name} ${address ?? ''}`.toLowerCase().includes(wanted));
  if (options.json === true) out(JSON.stringify({ device: target.name, cut, rows: chosen }));
  else {
    for (const line of tree(chosen)) out(line);
    if (chosen.length === 0)
      err(
        wanted === undefined ? 'it has nothing to show' : `nothing of ${rows.length} rows is like "${options.filter}"`,
      );
    if (cut) err('there is more: --from begins deeper, --depth and --most show more');
  }
  return chosen.length === 0 ? 1 : 0;
}

const questions: readonly ControllerQuestion[] = ['mode', 'scan', 'program', 'service'];

async function read(
  target: Target,
  pki: string,
  forMs: number,
  options: PlcOptions,
  out: (line: string) => void,
  err: (line: string) => void,
): Promise<0 | 1 | 2> {
  const last = new Map<number, Sample>();
  let found = false;
  let lost: string | undefined;
  const source = openSource(target, pki, {
    onSample: (sample) => {
      // A retained or early bad value may be followed by a good one within the time that a person waits.
      if (last.get(sample.signal)?.quality !== 'good') last.set(sample.signal, sample);
    },
    onLost: (reason) => {
      lost = reason;
    },
    onFound: () => {
      found = true;
    },
  });
  source.start();
  const end = performance.now() + forMs;
  const whole = () => found && target.tags.every(({ signal }) => last.has(signal));
  const good = () => whole() && [...last.values()].every(({ quality }) => quality === 'good');
  while (performance.now() < end && !good() && !(lost !== undefined && !found)) {
    // What is bad at first may come good at the next look; it is not waited for as long as for an answer.
    if (whole() && performance.now() > end - forMs * 0.7) break;
    await pause(20, new AbortController().signal);
  }
  const facts = new Map<string, string>();
  const detail: Record<string, unknown> = {};
  if (options.facts === true && found) {
    for (const question of questions) {
      const fact = await source.ask?.(question);
      if (fact === undefined) facts.set(question, 'not known: this protocol has no word for it');
      else {
        facts.set(
          question,
          fact.ok
            ? 'hash' in fact.value
              ? `${fact.value.hash} (${fact.value.text})`
              : fact.value.text
            : `not known: ${fact.error}`,
        );
        if (fact.ok) detail[question] = fact.value;
      }
    }
  }
  const failure = source.stats.lastFailure ?? lost;
  await source.stop();
  if (!found) {
    err(`${target.name}: ${failure ?? `no answer within ${forMs / 1000} s`}`);
    if (options.json === true)
      out(JSON.stringify({ device: target.name, reached: false, reason: failure ?? 'no answer' }));
    return 2;
  }
  const rows = target.tags.map((tag) => ({ tag, sample: last.get(tag.signal) }));
  if (options.json === true) {
    out(
      JSON.stringify({
        device: target.name,
        reached: true,
        values: rows.map(jsonOf),
        ...(options.facts === true ? { facts: detail } : {}),
      }),
    );
  } else {
    if (rows.length > 0)
      for (const line of columns([['name', 'value', 'unit', 'quality', 'time', 'why'], ...rows.map(sampleRow)]))
        out(line);
    for (const [question, text] of facts) out(`${question.padEnd(8)} ${text}`);
  }
  return rows.every(({ sample }) => sample?.quality === 'good') ? 0 : 1;
}

async function watch(
  target: Target,
  pki: string,
  forMs: number | undefined,
  options: PlcOptions,
  { out, err, signal }: PlcSurroundings,
): Promise<0 | 1 | 2> {
  const tags = new Map<number, Tag>(target.tags.map((tag) => [tag.signal, tag]));
  const last = new Map<number, Sample>();
  const widest = Math.max(4, ...target.tags.map(({ name }) => name.length));
  let found = false;
  const source = openSource(target, pki, {
    onSample: (sample) => {
      const tag = tags.get(sample.signal)!;
      const before = last.get(sample.signal);
      last.set(sample.signal, sample);
      if (before !== undefined && Object.is(before.value, sample.value) && before.quality === sample.quality) return;
      if (options.json === true) return out(JSON.stringify(jsonOf({ tag, sample })));
      const [name, value, unit, quality, time, why] = sampleRow({ tag, sample });
      out(
        `${time}  ${name!.padEnd(widest)}  ${value} ${unit}${quality === 'good' ? '' : `  ${quality}: ${why}`}`.trimEnd(),
      );
    },
    onLost: (reason) => err(`${target.name}: ${reason}; trying again`),
    onFound: () => {
      if (found) err(`${target.name}: answers again`);
      found = true;
    },
  });
  source.start();
  // Counted from the first answer: loading a driver and connecting may take seconds on a small box.
  for (const begun = performance.now(); !found && !signal.aborted; ) {
    if (forMs !== undefined && performance.now() - begun > forMs + connectWithinMs) break;
    await pause(20, signal);
  }
  if (found) await pause(forMs ?? 2_000_000_000, signal);
  await source.stop();
  if (!found) return 2;
  return [...last.values()].every(({ quality }) => quality === 'good') ? 0 : 1;
}

const openSource = (target: Target, pki: string, handlers: Parameters<typeof createSource>[0]['handlers']) =>
  createSource({
    connection: target.connection,
    tags: target.tags,
    handlers,
    clock,
    random: new Random(String(process.pid), 'plc'),
    pki,
  });

const timeOf = (text: string | undefined, fallback: number): number | undefined => {
  if (text === undefined) return fallback;
  const ms = parseDuration(text);
  return ms.ok && ms.value >= 10 && ms.value <= 86_400_000 ? ms.value : undefined;
};

const wholeOf = (text: string | undefined, fallback: number, most: number): number | undefined => {
  if (text === undefined) return fallback;
  const number = Number(text);
  return Number.isInteger(number) && number >= 1 && number <= most ? number : undefined;
};
