import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isMap, isScalar, parseDocument } from 'yaml';
import type { Result } from '../base/result.ts';
import { err, ok } from '../base/result.ts';
import type { Site } from '../driver/bindings.ts';
import type { BundleFacts } from './compile/context.ts';
import { Findings } from './findings.ts';
import type { Problem } from './problem.ts';
import { hasErrors } from './problem.ts';
import { checkShape } from './shape.ts';
import { compileSite } from './site-compiler.ts';
import type { Path } from './site-document.ts';
import { maxBytes, readDocument } from './site-document.ts';
import type { SiteModel } from './site-model.ts';
import { expandSite } from './site-model.ts';
import { siteSchema } from './site-schema.ts';

export interface SiteOptions {
  /** Folder that model files start from; `models` beside the site file unless said. */
  readonly modelRoot?: string;
  /** What the signed bundle adds that carries the file. */
  readonly bundle?: BundleFacts;
}

/** What a look at a site file gives: all problems at once, and the site when none of them is an error. */
export interface SiteCheck {
  readonly site: Site | undefined;
  readonly model: SiteModel | undefined;
  readonly problems: readonly Problem[];
}

/** Reads, checks and compiles the site file at `path`. Never throws on what the file holds. */
export function checkSite(path: string, options: SiteOptions = {}): SiteCheck {
  const text = readText(path);
  if (!text.ok) return { site: undefined, model: undefined, problems: [text.error] };
  return parseSite(text.value, path, options);
}

/** The site, or every mistake in its file at once. Warnings do not stop it; `checkSite` shows them. */
export function loadSite(path: string, options: SiteOptions = {}): Result<Site, readonly Problem[]> {
  const { site, problems } = checkSite(path, options);
  return site === undefined ? err(problems) : ok(site);
}

/** The same for a text in hand; `file` is what problems name. */
export function parseSite(text: string, file: string, options: SiteOptions = {}): SiteCheck {
  const document = readDocument(file, text);
  if (!document.ok) return { site: undefined, model: undefined, problems: document.error };
  const shape = checkShape(document.value, siteSchema, missing);
  const findings = new Findings(document.value);
  findings.add(shape.problems);
  if (shape.value === undefined) return { site: undefined, model: undefined, problems: findings.problems() };
  const model = expandSite(shape.value, shape.removed, findings);
  const site = compileSite(model, findings, options.modelRoot ?? resolve(dirname(file), 'models'), options.bundle);
  const problems = findings.problems();
  return { site: hasErrors(problems) ? undefined : site, model, problems };
}

/**
 * The text of a site file with other values for its top-level `params`; comments and layout stay. An unknown name is
 * an error: `params` says what may be set from outside.
 */
export function setSiteParams(text: string, values: Readonly<Record<string, string>>): Result<string, string> {
  if (Object.keys(values).length === 0) return ok(text);
  const document = parseDocument(text, { version: '1.2', schema: 'core' });
  const params = document.get('params');
  if (document.errors.length > 0) return err(`the site file is no YAML: ${document.errors[0]?.message}`);
  const known = isMap(params)
    ? params.items.flatMap((item) => (isScalar(item.key) ? [String(item.key.value)] : []))
    : [];
  for (const [name, value] of Object.entries(values)) {
    if (!known.includes(name)) {
      return err(`the site file has no parameter "${name}"${known.length === 0 ? '' : `: it has ${known.join(', ')}`}`);
    }
    document.setIn(['params', name], /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value);
  }
  return ok(document.toString({ lineWidth: 0 }));
}

/** What to say, and what to go on with, when a required key is not there. */
function missing(path: Path, key: string): { message: string; stand: unknown; severity?: 'warning' } | undefined {
  const [kind, name] = [path.at(-2), String(path.at(-1) ?? '')];
  const top: Readonly<Record<string, readonly [string, unknown]>> = {
    millwright: ['The first line is "millwright: 1", the version of the language', 1],
    site: ['The site has no name: say site: riverside', 'site'],
    agents: ['A site needs agents', {}],
  };
  if (path.length === 0) return top[key] === undefined ? undefined : { message: top[key][0], stand: top[key][1] };
  if (kind === 'workflows') {
    const say: Readonly<Record<string, readonly [string, unknown]>> = {
      budget: [`Workflow ${name} has no budget: it could repeat all night`, '1 per 1d'],
      verify: [`Workflow ${name} has no verify: how do we know that it worked?`, 'true'],
      steps: [`Workflow ${name} has no steps: it would do nothing`, [{ wait: '1s' }]],
    };
    return say[key] === undefined ? undefined : { message: say[key][0], stand: say[key][1] };
  }
  if (kind === 'alarms') {
    if (key === 'response') {
      return {
        message: `Alarm ${name} has no response: if there is nothing to do, it is an event`,
        stand: '',
        severity: 'warning',
      };
    }
    const stand: Readonly<Record<string, unknown>> = {
      priority: 'medium',
      cause: '',
      consequence: '',
      'respond-within': '1h',
    };
    return { message: `Alarm ${name} has no "${key}"`, stand: stand[key] };
  }
  if (kind === 'duties' && key === 'exclusive') {
    return {
      message: `Duty ${name} says neither exclusive: true nor exclusive: false; there is no default`,
      stand: false,
    };
  }
  if (kind === 'writes' && key === 'allow') {
    return { message: `Write ${name} allows nothing: say what may be written, [0, 1] or [40..60]`, stand: [] };
  }
  if ((kind === 'signals' || kind === 'writes') && key === 'address') {
    const what = kind === 'signals' ? 'Signal' : 'Write';
    return { message: `${what} ${name} has no address`, stand: 's=?' };
  }
  if (kind === 'models' && key === 'file') return { message: `Model ${name} has no file`, stand: 'none' };
  if (kind === 'models' && key === 'inputs') return { message: `Model ${name} has no inputs`, stand: {} };
  return undefined;
}

function readText(path: string): Result<string, Problem> {
  const problem = (code: 'unreadable' | 'too-large', message: string): Result<never, Problem> =>
    err({ severity: 'error', file: path, line: 1, column: 1, path: '', code, message });
  try {
    const size = statSync(path).size;
    if (size > maxBytes) return problem('too-large', `the file has ${size} bytes, more than ${maxBytes}`);
    return ok(readFileSync(path, 'utf8'));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return problem('unreadable', code === 'ENOENT' ? 'there is no such file' : `cannot be read: ${code}`);
  }
}
