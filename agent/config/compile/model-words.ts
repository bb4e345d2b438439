import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelIndex } from '../../base/ids.ts';
import { nearest } from '../../base/nearest.ts';
import type { Expression } from '../../core/health/condition.ts';
import { unitOf } from '../quantity.ts';
import type { SiteContext } from './context.ts';

/** What a manifest tells of the values that conditions ask for; undefined fields: it does not tell them. */
interface Told {
  readonly classes: readonly string[] | undefined;
  /** Dimension and unit of its forecast. */
  readonly forecast: { readonly dimension: string; readonly unit: string } | undefined;
}

const mostBytes = 4_000_000;

/**
 * Holds what conditions ask of a model against the manifest, where one lies at hand: a class that it never gives, a
 * forecast of another dimension. Warnings only: the model may be exchanged without the site file, and whoever compiles
 * may not have it.
 */
export function compareModelWords(site: SiteContext, modelRoot: string): void {
  const { findings, conditions, models, entriesOf } = site;
  const entries = entriesOf('models');
  const told = new Map<ModelIndex, Told | undefined>();
  const tells = (model: ModelIndex): Told | undefined => {
    if (!told.has(model)) told.set(model, manifestOf(join(modelRoot, models[model]?.file ?? '')));
    return told.get(model);
  };
  const warn = (model: ModelIndex, text: string): void => {
    const entry = entries[model];
    if (entry !== undefined) findings.of(entry.origin, ['file'], 'reference', text, { severity: 'warning' });
  };
  for (const { id, expression } of conditions) {
    each(expression, (node) => {
      if (node.op === 'forecast') {
        const known = tells(node.model);
        const file = models[node.model]?.file;
        if (known === undefined) return;
        if (known.forecast === undefined) warn(node.model, `${id} asks for a forecast, and ${file} gives none`);
        else if (known.forecast.dimension !== node.dimension) {
          warn(node.model, `${id} asks for a forecast of ${node.dimension}, ${file} forecasts ${known.forecast.unit}`);
        }
      }
      if (node.op === 'class' && tells(node.model)?.classes?.length === 0) {
        warn(node.model, `${id} asks for a class, and ${models[node.model]?.file} gives none`);
      }
      if (node.op !== 'compare') return;
      for (const [side, other] of [
        [node.left, node.right],
        [node.right, node.left],
      ] as const) {
        if (side.op !== 'class' || other.op !== 'literal') continue;
        const classes = tells(side.model)?.classes ?? [];
        const said = String(other.value);
        if (classes.length === 0 || classes.includes(said)) continue;
        const near = nearest(said, [...classes]);
        const hint = near === undefined ? `it is one of ${classes.join(', ')}` : `did you mean "${near}"?`;
        warn(side.model, `${id}: the class of ${models[side.model]?.file} is never "${said}": ${hint}`);
      }
    });
  }
}

function each(node: Expression, visit: (node: Expression) => void): void {
  visit(node);
  switch (node.op) {
    case 'and':
    case 'or':
    case 'at-least':
      for (const arg of node.args) each(arg, visit);
      return;
    case 'not':
    case 'negate':
      return each(node.arg, visit);
    case 'compare':
    case 'arithmetic':
      each(node.left, visit);
      return each(node.right, visit);
    case 'choose':
      each(node.test, visit);
      each(node.then, visit);
      return each(node.else, visit);
    default:
  }
}

/** Undefined when there is none that can be read: the agent says the rest. */
function manifestOf(folder: string): Told | undefined {
  try {
    const path = join(folder, 'manifest.json');
    if (statSync(path).size > mostBytes) return undefined;
    const { outputs } = JSON.parse(readFileSync(path, 'utf8')) as {
      outputs?: { class?: { labels?: Record<string, unknown> }; forecast?: { unit?: unknown } };
    };
    const unit = outputs?.forecast?.unit;
    return {
      classes: Object.values(outputs?.class?.labels ?? {}).map(String),
      forecast: typeof unit === 'string' ? { dimension: unitOf(unit)?.dimension ?? unit, unit } : undefined,
    };
  } catch {
    return undefined;
  }
}
