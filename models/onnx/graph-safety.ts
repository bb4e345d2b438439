import protobuf from 'protobufjs/minimal.js';
import { eachField, type Fields, type Nested } from './proto-walk.ts';
import { isLeaf, isTreeLink, type TreeLinks, treeDanger } from './tree-links.ts';

/** What a graph may be at most. Real ones stay far below; what lies above is a mistake or an attack. */
export const graphLimits = {
  /** Operations after every local function is put in place. */
  nodes: 20_000,
  tensors: 20_000,
  /** Graphs within graphs, functions within functions. */
  depth: 8,
  /** Elements of one tensor that a constant shape asks for; 64 MB of float32. */
  elements: 16_777_216,
  dimension: 1_000_000,
} as const;

/** Operator sets that ONNX Runtime brings. Another one is code that somebody would have to load first. */
const knownDomains = new Set(['', 'ai.onnx', 'ai.onnx.ml']);

/** Where an operator takes the shape of its output from a constant: a few bytes that ask for any amount of memory. */
const shapeInputs: Readonly<Record<string, number>> = {
  ConstantOfShape: 0,
  Expand: 1,
  Tile: 1,
  Pad: 1,
  Resize: 3,
  OneHot: 1,
  Range: 1,
};

interface Operation {
  readonly domain: string;
  readonly opType: string;
  readonly inputs: readonly string[];
}

interface Body {
  readonly nodes: Operation[];
  /** Numbers of small int64 constants by name: what shapes are made of. */
  readonly integers: Map<string, readonly number[]>;
}

interface Survey {
  readonly main: Body;
  readonly functions: Map<string, Body>;
  tensors: number;
  nodes: number;
}

class Danger extends Error {}

/**
 * What makes an ONNX file dangerous to load, in words; undefined when nothing does. Nothing is run and little is kept:
 * one walk over the file, strict about its encoding, so that no other reader can see another file in the same bytes.
 *
 * Refused: data in other files, operators that do not come with ONNX Runtime, loops without end, more nodes or deeper
 * nesting than any model needs (local functions counted as often as they are used), tensors that promise more than the
 * file holds, constant shapes that ask for more memory than an edge box has, trees that run in circles. A shape that a
 * graph computes while it runs is not seen here.
 */
export function dangerOf(bytes: Uint8Array): string | undefined {
  const survey: Survey = { main: newBody(), functions: new Map(), tensors: 0, nodes: 0 };
  try {
    const reader = protobuf.Reader.create(bytes);
    const model: Fields = {
      7: { message: (end) => readGraph(reader, end, survey, survey.main, 0) },
      25: { message: (end) => readFunction(reader, end, survey) },
    };
    eachField(reader, reader.len, model);
    judge(survey);
    return undefined;
  } catch (cause) {
    return cause instanceof Danger ? cause.message : `not an ONNX file: ${(cause as Error).message}`;
  }
}

const newBody = (): Body => ({ nodes: [], integers: new Map() });

function judge({ main, functions }: Survey): void {
  for (const body of [main, ...functions.values()]) {
    for (const node of body.nodes) {
      const { domain, opType } = node;
      if (!knownDomains.has(domain) && !functions.has(`${domain}:${opType}`)) {
        throw new Danger(`operator ${opType} of domain "${domain}" does not come with ONNX Runtime`);
      }
      if (opType === 'Loop' && knownDomains.has(domain)) {
        throw new Danger('operator Loop may never end; export the model with its loops unrolled');
      }
      shapeDanger(node, body);
    }
  }
  const sizes = new Map<string, number>();
  const size = (body: Body, depth: number): number => {
    if (depth > graphLimits.depth) throw new Danger(`functions call each other ${depth} deep, or in a circle`);
    let sum = 0;
    for (const { domain, opType } of body.nodes) {
      const name = `${domain}:${opType}`;
      const called = functions.get(name);
      let cost = 1;
      if (called !== undefined) {
        cost = sizes.get(name) ?? size(called, depth + 1);
        sizes.set(name, cost);
      }
      sum += cost;
      if (sum > graphLimits.nodes) throw new Danger(`more than ${graphLimits.nodes} operations`);
    }
    return sum;
  };
  size(main, 0);
}

function shapeDanger({ domain, opType, inputs }: Operation, { integers }: Body): void {
  const at = domain === '' || domain === 'ai.onnx' ? shapeInputs[opType] : undefined;
  const shape = at === undefined ? undefined : integers.get(inputs[at] ?? '');
  const asked = shape?.reduce((product, size) => product * Math.max(1, Math.abs(size)), 1) ?? 0;
  if (asked > graphLimits.elements) {
    throw new Danger(`operator ${opType} asks for ${asked} elements; at most ${graphLimits.elements}`);
  }
}

function readFunction(reader: protobuf.Reader, end: number, survey: Survey): void {
  const body = newBody();
  let [name, domain] = ['', ''];
  eachField(reader, end, {
    1: { text: (value) => (name = value) },
    10: { text: (value) => (domain = value) },
    7: { message: (to) => readNode(reader, to, survey, body, 0) },
  });
  survey.functions.set(`${domain}:${name}`, body);
}

function readGraph(reader: protobuf.Reader, end: number, survey: Survey, body: Body, depth: number): void {
  if (depth > graphLimits.depth) throw new Danger(`graphs are nested more than ${graphLimits.depth} deep`);
  const tensor: Nested = (to) => readTensor(reader, to, survey, body, undefined);
  eachField(reader, end, {
    1: { message: (to) => readNode(reader, to, survey, body, depth) },
    5: { message: tensor },
    15: { message: (to) => readSparse(reader, to, survey, body) },
    11: { message: (to) => readValue(reader, to) },
    12: { message: (to) => readValue(reader, to) },
  });
}

function readNode(reader: protobuf.Reader, end: number, survey: Survey, body: Body, depth: number): void {
  if (++survey.nodes > graphLimits.nodes) throw new Danger(`more than ${graphLimits.nodes} operations`);
  const inputs: string[] = [];
  const outputs: string[] = [];
  let [opType, domain] = ['', ''];
  const links: TreeLinks = { numbers: new Map(), leaves: [] };
  eachField(reader, end, {
    1: { text: (value) => inputs.push(value) },
    2: { text: (value) => outputs.push(value) },
    4: { text: (value) => (opType = value) },
    7: { text: (value) => (domain = value) },
    5: { message: (to) => readAttribute(reader, to, survey, body, depth, links, outputs) },
  });
  if (opType.startsWith('TreeEnsemble')) {
    const danger = treeDanger(links);
    if (danger !== undefined) throw new Danger(`${opType}: ${danger}`);
  }
  body.nodes.push({ domain, opType, inputs });
}

function readAttribute(
  reader: protobuf.Reader,
  end: number,
  survey: Survey,
  body: Body,
  depth: number,
  links: TreeLinks,
  outputs: readonly string[],
): void {
  let name = '';
  const numbers: number[] = [];
  const leaves: boolean[] = [];
  const tensor: Nested = (to) => readTensor(reader, to, survey, body, outputs[0]);
  const sparse: Nested = (to) => readSparse(reader, to, survey, body);
  const graph: Nested = (to) => readGraph(reader, to, survey, body, depth + 1);
  eachField(reader, end, {
    1: { text: (value) => (name = value) },
    5: { message: tensor },
    10: { message: tensor },
    6: { message: graph },
    11: { message: graph },
    22: { message: sparse },
    23: { message: sparse },
    8: { integers: (value) => numbers.push(value) },
    9: { bytes: (value) => leaves.push(isLeaf(value)) },
  });
  if (isTreeLink(name)) links.numbers.set(name, numbers);
  if (name === 'nodes_modes') links.leaves = leaves;
  // The shape of random operators, and the value of a Constant.
  if (name === 'shape' && numbers.reduce((product, size) => product * Math.abs(size), 1) > graphLimits.elements) {
    throw new Danger(`a shape of ${numbers.slice(0, 8).join(' × ')} elements`);
  }
  if (name === 'value_ints' && outputs[0] !== undefined) body.integers.set(outputs[0], numbers);
}

function readSparse(reader: protobuf.Reader, end: number, survey: Survey, body: Body): void {
  const dims: number[] = [];
  const tensor: Nested = (to) => readTensor(reader, to, survey, body, undefined);
  eachField(reader, end, {
    1: { message: tensor },
    2: { message: tensor },
    3: { integers: (value) => dims.push(value) },
  });
  // A sparse tensor is made dense when the model loads: then its dims are memory, whatever the file holds.
  elementsOf(dims, graphLimits.elements, 'a sparse tensor');
}

/** Small enough to be a shape. */
const shapeLength = 16;
const int64 = 7;

function readTensor(
  reader: protobuf.Reader,
  end: number,
  survey: Survey,
  body: Body,
  constant: string | undefined,
): void {
  if (++survey.tensors > graphLimits.tensors) throw new Danger(`more than ${graphLimits.tensors} tensors`);
  const dims: number[] = [];
  const integers: number[] = [];
  let [name, type] = [constant ?? '', 0];
  let raw: Uint8Array | undefined;
  const length = end - reader.pos;
  eachField(reader, end, {
    1: { integers: (value) => dims.push(value) },
    2: { integers: (value) => (type = value) },
    7: { integers: (value) => integers.length <= shapeLength && integers.push(value) },
    8: { text: (value) => (name = constant ?? value) },
    9: { bytes: (value) => (raw = value) },
    13: {
      message: () => {
        throw new Danger(`tensor ${name || '(unnamed)'} refers to data in another file`);
      },
    },
    14: {
      integers: (value) => {
        if (value !== 0) throw new Danger(`tensor ${name || '(unnamed)'} refers to data in another file`);
      },
    },
  });
  // Every element takes at least half a byte of the file, whatever its type.
  const elements = elementsOf(dims, 2 * length, `tensor ${name || '(unnamed)'}`);
  if (type === int64 && elements <= shapeLength) {
    body.integers.set(name, raw === undefined ? integers : int64s(raw));
  }
}

function elementsOf(dims: readonly number[], most: number, what: string): number {
  let elements = 1;
  for (const size of dims) {
    if (!(size >= 0)) throw new Danger(`${what} has a dimension of ${size}`);
    elements *= size;
  }
  if (elements > most) throw new Danger(`${what} of ${dims.join(' × ')} promises more than the file holds`);
  return elements;
}

function int64s(raw: Uint8Array): number[] {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Array.from({ length: Math.min(shapeLength, raw.byteLength >> 3) }, (_, i) =>
    Number(view.getBigInt64(8 * i, true)),
  );
}

/** ValueInfoProto: its type's tensor's shape, dimension by dimension. */
function readValue(reader: protobuf.Reader, end: number): void {
  const size = (value: number) => {
    if (!(value >= 0 && value <= graphLimits.dimension)) {
      throw new Danger(`an input or output has a dimension of ${value}; at most ${graphLimits.dimension}`);
    }
  };
  const into =
    (fields: (to: number) => Fields): Nested =>
    (to) =>
      eachField(reader, to, fields(to));
  const dimension = into(() => ({ 1: { integers: size } }));
  const shape = into(() => ({ 1: { message: dimension } }));
  const tensor = into(() => ({ 2: { message: shape } }));
  const type = into(() => ({ 1: { message: tensor } }));
  eachField(reader, end, { 2: { message: type } });
}
