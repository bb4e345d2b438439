import { DatabaseSync } from 'node:sqlite';

/**
 * A program of its own: `sqlite-query FILE QUERY` prints `{"value": first column of the first row}` and ends. It runs
 * apart so that it can be killed (see sql.ts). The file is opened read-only and is never made.
 */
const [path = '', query = ''] = process.argv.slice(2);
try {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 1_000 });
  database.exec('PRAGMA query_only = 1');
  const statement = database.prepare(query);
  statement.setReadBigInts(true);
  const [row] = statement.iterate();
  const value = row === undefined ? undefined : Object.values(row)[0];
  process.stdout.write(
    JSON.stringify({
      value: typeof value === 'bigint' ? value.toString() : value instanceof Uint8Array ? 'bytes' : value,
    }),
  );
} catch (error) {
  process.stderr.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
