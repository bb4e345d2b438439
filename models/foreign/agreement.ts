import type { GraphFacts, ValueFacts } from '../onnx/graph-reader.ts';
import { shapeText } from '../onnx/graph-reader.ts';
import type { Dimension } from '../onnx/graph-writer.ts';
import type { ForeignManifest, Layout } from './manifest.ts';

/** The input's shape as a manifest means it; the first dimension is the number of windows. */
export const inputShape = (layout: Layout, rows: number, channels: number): readonly Dimension[] =>
  layout === 'flat' ? ['N', rows * channels] : layout === 'rows-inputs' ? ['N', rows, channels] : ['N', channels, rows];

/**
 * Whether a graph and the manifest beside it mean the same; every disagreement in words, with both shapes. A dimension
 * that the graph leaves free fits every size, because many exporters leave them all free; a batch fixed at 1 fits too.
 */
export function disagreements(graph: GraphFacts, manifest: ForeignManifest): readonly string[] {
  const { window, inputs, outputs } = manifest;
  const wrong: string[] = [];
  const wanted = inputShape(manifest.graph.layout, window.rows, inputs.length);
  const input = graph.inputs.find((one) => one.name === manifest.graph.input);
  const told = `${manifest.graph.input} ${shapeText(wanted, manifest.graph.type)}`;
  if (input === undefined || graph.inputs.length !== 1) {
    wrong.push(`the graph's input is ${listed(graph.inputs)}, the manifest says ${told} and no other`);
  } else if (input.type !== manifest.graph.type || !fits(input.shape, wanted)) {
    wrong.push(`the graph's input is ${valueText(input)}, the manifest says ${told}`);
  }
  const find = (name: string, means: string): ValueFacts | undefined => {
    const found = graph.outputs.find((one) => one.name === name);
    if (found === undefined) {
      wrong.push(`the graph has no output ${name} (${means}); it has ${listed(graph.outputs)}`);
    }
    return found;
  };
  for (const means of ['score', 'forecast'] as const) {
    const said = outputs[means];
    const found = said && find(said.tensor, means);
    if (said === undefined || found === undefined) continue;
    if (!isNumeric(found.type)) wrong.push(`output ${valueText(found)} is no number: it cannot be the ${means}`);
    else if (!hasColumn(found.shape, said.column)) {
      wrong.push(`output ${valueText(found)} has no column ${said.column} for the ${means}`);
    }
  }
  const classes = outputs.class;
  const found = classes && find(classes.tensor, 'class');
  if (classes !== undefined && found !== undefined) {
    if (found.type === 'sequence' || found.type === 'map') {
      wrong.push(`output ${found.name} is a ${found.type}: take the labels' tensor, or export without ZipMap`);
    } else if (classes.from === 'columns') {
      if (!isNumeric(found.type)) wrong.push(`output ${valueText(found)} holds no numbers to choose the largest from`);
      for (const key of Object.keys(classes.labels)) {
        if (!hasColumn(found.shape, Number(key))) wrong.push(`output ${valueText(found)} has no column ${key}`);
      }
    } else if (!['int64', 'int32', 'string', 'bool', 'float32', 'float64'].includes(found.type)) {
      wrong.push(`output ${valueText(found)} cannot be read as labels`);
    }
  }
  return wrong;
}

export const isNumeric = (type: string): boolean => ['float32', 'float64', 'int64', 'int32'].includes(type);

/** `probabilities float32[N,3]`. */
export const valueText = ({ name, type, shape }: ValueFacts): string =>
  type === 'sequence' || type === 'map' ? `${name} (${type})` : `${name} ${shapeText(shape, type)}`;

const listed = (values: readonly ValueFacts[]): string => values.map(valueText).join(', ') || 'none';

/** Free dimensions fit; a size of 0 or less is how some exporters write "free". */
export const isFree = (size: Dimension | undefined): boolean => typeof size !== 'number' || size <= 0;

export function fits(found: readonly Dimension[], wanted: readonly Dimension[]): boolean {
  return (
    found.length === wanted.length &&
    wanted.every((size, i) => {
      const other = found[i];
      if (i === 0) return isFree(other) || other === 1;
      return isFree(other) || other === size;
    })
  );
}

/** Values per window are what is left after the first dimension; unknown sizes are found out when it runs. */
function hasColumn(shape: readonly Dimension[], column: number): boolean {
  const rest = shape.slice(1);
  if (rest.some((size) => isFree(size))) return true;
  return column < rest.reduce<number>((product, size) => product * Number(size), 1);
}
