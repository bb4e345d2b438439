import { nearest } from '../base/nearest.ts';
import { err, ok, type Result } from '../base/result.ts';
import { formatProblems } from '../config/problem.ts';
import { checkSite } from '../config/site-file.ts';
import type { Target } from './target.ts';

/** A thing of a site file, its connection, and those of its signals that are asked for (all when none is). */
export function targetOfSite(
  file: string,
  thing: string | undefined,
  wanted: readonly string[],
): Result<Target, string> {
  const { site, problems } = checkSite(file);
  if (site === undefined) return err(formatProblems(problems));
  const { plan, connections, tags } = site;
  const readable = plan.things.filter(
    ({ index }) =>
      [...tags.values()].some(({ name }) => name.startsWith(`${plan.things[index]!.id}/`)) || connections.has(index),
  );
  if (thing === undefined)
    return err(`say --thing: ${readable.map(({ id }) => id).join(', ') || 'none of this site is connected'}`);
  const found = plan.things.find(({ id }) => id === thing);
  if (found === undefined) {
    const close = nearest(
      thing,
      readable.map(({ id }) => id),
    );
    return err(`${file} has no ${thing}${close === undefined ? '' : `: did you mean ${close}?`}`);
  }
  const own = [...tags.values()].filter(({ name, source }) => name.startsWith(`${thing}/`) || source === found.index);
  const source = connections.has(found.index) ? found.index : own[0]?.source;
  const connection = source === undefined ? undefined : connections.get(source);
  if (connection === undefined) return err(`${thing} has nothing to read from: give it \`connect\` or \`source\``);
  const names = (name: string) => [name, name.slice(name.indexOf('/') + 1)];
  const missing = wanted.filter((one) => !own.some(({ name }) => names(name).includes(one)));
  if (missing.length > 0) {
    const known = own.map(({ name }) => names(name)[1]!);
    return err(missing.map((one) => `${thing} has no signal ${one}; it has ${known.join(', ')}`).join('\n'));
  }
  const chosen = wanted.length === 0 ? own : own.filter(({ name }) => names(name).some((one) => wanted.includes(one)));
  return ok({ name: thing, connection, tags: chosen });
}
