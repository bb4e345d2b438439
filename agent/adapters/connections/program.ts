import { constants, type Stats } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { err, ok, type Result } from '../../base/result.ts';

/** What a child inherits from the agent; everything else (tokens, broker passwords, NODE_OPTIONS) stays here. */
const inherited = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'TMPDIR'];

/** The environment of a child: the allow-list, then what the caller adds. */
export function childEnvironment(extra: Iterable<readonly [string, string]> = []): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of inherited) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  env['PATH'] ??= '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  for (const [name, value] of extra) env[name] = value;
  return env;
}

/**
 * Full path of a program, by `path` unless it has a slash. Asked before spawning, since a wrapper in front would turn
 * "no such program" into its own exit code.
 */
export async function findProgram(name: string, path: string, cwd: string): Promise<Result<string, string>> {
  if (name === '') return err('the argument vector is empty');
  if (name.includes('\0')) return err('the name of the program has a zero byte');
  const candidates =
    isAbsolute(name) || name.includes('/')
      ? [resolve(cwd, name)]
      : path
          .split(delimiter)
          .filter((folder) => folder !== '')
          .map((folder) => join(folder, name));
  let refused: string | undefined;
  for (const candidate of candidates) {
    let found: Stats;
    try {
      found = await stat(candidate);
    } catch {
      continue;
    }
    if (!found.isFile()) {
      refused ??= `${candidate} is not a file`;
      continue;
    }
    try {
      await access(candidate, constants.X_OK);
      return ok(candidate);
    } catch {
      refused ??= `${candidate} is not executable by this user`;
    }
  }
  return err(refused ?? `there is no program "${name}"${name.includes('/') ? '' : ' in PATH'}`);
}
