import { fileURLToPath } from 'node:url';
import type { CheckObservation } from '../../core/health/check.ts';
import type { ProbeOf } from '../../driver/bindings.ts';
import { lastLines } from '../connections/bounded-output.ts';
import type { Containment } from '../connections/containment.ts';
import { runLocal } from '../connections/local.ts';
import { readSecret } from '../plc/secret.ts';
import { answerWithin, seconds } from './connection.ts';
import { judged, measured, notKnown, type ProbeContext, reasonOf } from './probe.ts';

/**
 * The first column of the first row of one query, as a number: rows that wait, seconds since the last one. Text that is no
 * number, NULL and no row at all are unknown; `select count(*)` has always a row.
 *
 * The database refuses whatever would change it: SQLite is opened read-only, PostgreSQL is asked in a transaction that
 * is read-only, with one statement only. Time is bounded on both sides, and one row is fetched of however many.
 */
export async function sqlProbe(
  question: ProbeOf<'sql'>,
  context: ProbeContext,
  containment: Containment | undefined,
): Promise<CheckObservation> {
  const answer =
    question.database.kind === 'sqlite'
      ? await askSqlite(question.database.path, question.query, context, containment)
      : await askPostgres(question.database, question.query, context);
  if ('observation' in answer) return answer.observation;
  const { value } = answer;
  if (value === undefined) return notKnown('the query gives no row');
  if (value === null) return notKnown('the query gives NULL');
  const number =
    typeof value === 'boolean'
      ? Number(value)
      : typeof value === 'string' && value.trim() === ''
        ? Number.NaN
        : Number(value);
  if (!Number.isFinite(number)) return notKnown(`the query gives "${String(value).slice(0, 100)}", which is no number`);
  return measured(number, '', 'value', `the query gives ${number}`);
}

type Answer = { readonly value: unknown } | { readonly observation: CheckObservation };

/**
 * SQLite works in the thread that asks, and cannot be stopped there: a process of its own can be killed, and a query
 * without end costs one time-out and no more.
 */
async function askSqlite(
  path: string,
  query: string,
  context: ProbeContext,
  containment: Containment | undefined,
): Promise<Answer> {
  const within = answerWithin(context.timeoutMs);
  // Beside this file, whether it was built or runs as written.
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = fileURLToPath(new URL(`./sqlite-query.${extension}`, import.meta.url));
  const run = await runLocal({
    argv: [process.execPath, '--no-warnings', '--max-old-space-size=64', program, path, query],
    timeoutMs: within,
    graceMs: 100,
    outputBytes: 16_384,
    containment,
    signal: context.signal,
  });
  if (!run.ok) return { observation: notKnown(run.error.text) };
  const { ended, code, stdout, stderr } = run.value;
  if (ended === 'timed-out')
    return { observation: judged('unknown', `the query was ended after ${seconds(within)} s`) };
  if (ended === 'cancelled') return { observation: notKnown('cancelled') };
  if (code !== 0) return { observation: notKnown(`${path}: ${lastLines(stderr.text, 1) || `code ${code ?? '?'}`}`) };
  try {
    return { value: (JSON.parse(stdout.head) as { value?: unknown }).value };
  } catch {
    return { observation: notKnown(`${path}: the answer cannot be read`) };
  }
}

async function askPostgres(
  at: Extract<ProbeOf<'sql'>['database'], { kind: 'postgres' }>,
  query: string,
  context: ProbeContext,
): Promise<Answer> {
  const where = `${at.host}:${at.port}/${at.database}`;
  const within = Math.floor(answerWithin(context.timeoutMs));
  let password: string | undefined;
  try {
    password = at.secret === undefined ? undefined : await readSecret(at.secret);
  } catch (error) {
    return { observation: notKnown(`${where}: ${reasonOf(error)}`) };
  }
  const { default: postgres } = await import('postgres');
  const sql = postgres({
    host: at.host,
    port: at.port,
    database: at.database,
    ...(at.user === undefined ? {} : { username: at.user }),
    ...(password === undefined ? {} : { password }),
    ssl: at.tls ? 'require' : false,
    max: 1,
    connect_timeout: within / 1_000,
    idle_timeout: 1,
    backoff: false,
    fetch_types: false,
    prepare: false,
    onnotice: () => {},
    connection: { application_name: 'millwright', statement_timeout: within, default_transaction_read_only: true },
  });
  let overdue = false;
  const end = () => void sql.end({ timeout: 0 }).catch(() => {});
  const timer = setTimeout(() => {
    overdue = true;
    end();
  }, within);
  context.signal.addEventListener('abort', end, { once: true });
  try {
    const value = await sql.begin('read only', async (transaction) => {
      // Not "simple": that form would let several statements pass, and the first could end the transaction.
      const rows = transaction.unsafe(query, [], { simple: false } as object).cursor(1);
      for await (const [row] of rows) return row === undefined ? undefined : Object.values(row)[0];
      return undefined;
    });
    return { value };
  } catch (error) {
    if (overdue) return { observation: judged('unknown', `${where}: the query was ended after ${seconds(within)} s`) };
    return { observation: notKnown(`${where}: ${reasonOf(error)}`) };
  } finally {
    clearTimeout(timer);
    context.signal.removeEventListener('abort', end);
    end();
  }
}
