import { accessSync, constants, statSync } from 'node:fs';

const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Full path of a program, by `path` unless it has a slash; else why there is none. Asked before spawning, since a
 * wrapper in front would turn "no such program" into its own exit code.
 */
export function findProgram(
  name: string,
  path: string,
  cwd: string,
): { readonly path: string; readonly refusal?: undefined } | { readonly path?: undefined; readonly refusal: string } {
  const candidates = name.startsWith('/')
    ? [name]
    : name.includes('/')
      ? [`${cwd}/${name}`]
      : (path || usualPath)
          .split(':')
          .filter((folder) => folder !== '')
          .map((folder) => `${folder}/${name}`);
  let refusal: string | undefined;
  for (const candidate of candidates) {
    try {
      if (!statSync(candidate).isFile()) {
        refusal ??= `${candidate} is not a file`;
        continue;
      }
    } catch {
      continue;
    }
    try {
      accessSync(candidate, constants.X_OK);
      return { path: candidate };
    } catch {
      refusal ??= `${candidate} is not executable by this user`;
    }
  }
  return { refusal: refusal ?? `there is no program "${name}"${name.includes('/') ? '' : ' in PATH'}` };
}
