import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGraph, readGraphFacts } from '../../../models/onnx/graph-reader.ts';
import { dangerOf, graphLimits } from '../../../models/onnx/graph-safety.ts';
import { kinds } from '../../../models/training/kinds.ts';
import { trainFromRows } from '../../../models/training/train.ts';
import { pumpRows } from '../../support/pump-recording.ts';

/** Fields of a protobuf message by hand: what no writer of ours would write. */
const varint = (value: number | bigint): number[] => {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 128);
  } while (rest !== 0n);
  return bytes;
};
const field = (number: number, value: number | bigint | string | readonly number[]): number[] => {
  if (typeof value === 'number' || typeof value === 'bigint') return [...varint(number << 3), ...varint(value)];
  const bytes = typeof value === 'string' ? [...new TextEncoder().encode(value)] : value;
  return [...varint((number << 3) | 2), ...varint(bytes.length), ...bytes];
};
const flat = (parts: readonly (readonly number[])[]): number[] => parts.flat();

const valueInfo = (name: string, dims: readonly number[]) =>
  flat([
    field(1, name),
    field(2, field(1, flat([field(1, 1), field(2, flat(dims.map((size) => field(1, field(1, size)))))]))),
  ]);
interface Parts {
  readonly nodes?: readonly (readonly number[])[];
  readonly tensors?: readonly (readonly number[])[];
  readonly functions?: readonly (readonly number[])[];
  readonly input?: readonly number[];
}
const node = (opType: string, more: readonly number[] = [], inputs: readonly string[] = ['window'], domain = '') =>
  flat([...inputs.map((name) => field(1, name)), field(2, 'score'), field(4, opType), field(7, domain), more]);
const graph = ({ nodes = [node('Identity')], tensors = [], input = valueInfo('window', [1, 4]) }: Parts) =>
  flat([
    ...nodes.map((one) => field(1, one)),
    ...tensors.map((one) => field(5, one)),
    field(11, input),
    field(12, valueInfo('score', [1, 4])),
  ]);
const model = (parts: Parts = {}) =>
  Uint8Array.from(
    flat([
      field(1, 8),
      field(7, graph(parts)),
      field(8, flat([field(1, ''), field(2, 17)])),
      ...(parts.functions ?? []).map((one) => field(25, one)),
    ]),
  );
const tensor = (dims: readonly number[], more: readonly number[] = [], type = 1) =>
  flat([...dims.map((size) => field(1, size)), field(2, type), field(8, 'weights'), more]);
const int64s = (...values: readonly number[]) =>
  field(
    9,
    values.flatMap((value) => [...new Uint8Array(BigInt64Array.of(BigInt(value)).buffer)]),
  );
const attribute = (name: string, more: readonly number[]) => field(5, flat([field(1, name), more]));
const ints = (values: readonly number[]) => flat(values.map((value) => field(8, value)));
const texts = (values: readonly string[]) => flat(values.map((value) => field(9, value)));

const deep = (levels: number): readonly number[] =>
  node('If', attribute('then_branch', field(6, graph({ nodes: levels > 0 ? [deep(levels - 1)] : [node('Abs')] }))));
const local = (name: string, calls: readonly string[]) =>
  flat([
    field(1, name),
    field(10, 'mine'),
    ...calls.map((called) => field(7, node(called, [], ['x'], 'mine'))),
    ...(calls.length === 0 ? [field(7, node('Abs', [], ['x']))] : []),
  ]);
/** Nine functions, each of which calls the one below ten times: a thousand million operations in a kilobyte. */
const laughs = Array.from({ length: 8 }, (_, i) => local(`f${i}`, i === 0 ? [] : new Array(10).fill(`f${i - 1}`)));
const tree = (yes: readonly number[], no: readonly number[], modes: readonly string[]) =>
  node(
    'TreeEnsembleRegressor',
    flat([
      attribute('nodes_treeids', ints(yes.map(() => 0))),
      attribute('nodes_nodeids', ints(yes.map((_, i) => i))),
      attribute('nodes_truenodeids', ints(yes)),
      attribute('nodes_falsenodeids', ints(no)),
      attribute('nodes_modes', texts(modes)),
    ]),
    ['window'],
    'ai.onnx.ml',
  );

describe('graph safety', () => {
  it('models of every kind, and small honest graphs → nothing dangerous', () => {
    for (const { name, settings } of kinds) {
      const trained = trainFromRows(pumpRows({ rows: 300, seed: 'safe' }), ['a', 'b', 'c'], {
        name: 'pump',
        everyMs: 1_000,
        kind: name,
        settings: { ...('trees' in settings ? { trees: 5 } : {}), ...('epochs' in settings ? { epochs: 1 } : {}) },
      });
      expect([name, trained.ok && dangerOf(trained.value.onnx)]).toEqual([name, undefined]);
    }
    const honest = [
      model(),
      model({ tensors: [tensor([2, 2], field(9, new Array(16).fill(0)))] }),
      model({ nodes: [node('Expand', [], ['window', 'weights'])], tensors: [tensor([2], int64s(3, 4), 7)] }),
      model({ nodes: [deep(3)] }),
      model({ nodes: [node('f1', [], ['window'], 'mine')], functions: laughs.slice(0, 2) }),
      model({ nodes: [tree([1, 0, 0], [2, 0, 0], ['BRANCH_LEQ', 'LEAF', 'LEAF'])] }),
    ];
    expect(honest.map(dangerOf)).toEqual(honest.map(() => undefined));
  });

  it.each([
    ['weights in another file', { tensors: [tensor([4], field(13, field(1, 'location')))] }, /data in another file/],
    ['weights said to be elsewhere', { tensors: [tensor([4], field(14, 1))] }, /data in another file/],
    [
      'weights in another file within an attribute',
      { nodes: [node('Constant', attribute('value', field(5, tensor([4], field(14, 1)))))] },
      /data in another file/,
    ],
    ['dims that the file cannot hold', { tensors: [tensor([100_000, 100_000])] }, /100000 × 100000 promises more/],
    ['dims whose product leaves every number', { tensors: [tensor(new Array(40).fill(2 ** 40))] }, /promises more/],
    ['a negative dimension', { tensors: [tensor([-4])] }, /dimension of -4/],
    ['an input as wide as the sea', { input: valueInfo('window', [1, 2 ** 40]) }, /input or output has a dimension/],
    [
      'a constant shape of a thousand million',
      { nodes: [node('ConstantOfShape', [], ['weights'])], tensors: [tensor([2], int64s(40_000, 40_000), 7)] },
      /ConstantOfShape asks for 1600000000 elements/,
    ],
    ['noise without end', { nodes: [node('RandomNormal', attribute('shape', ints([1e6, 1e6])))] }, /a shape of/],
    ['a custom operator', { nodes: [node('Run', [], ['window'], 'com.evil')] }, /domain "com.evil" does not come/],
    ['a loop', { nodes: [node('Loop')] }, /Loop may never end/],
    ['graphs within graphs', { nodes: [deep(30)] }, /nested more than 8 deep/],
    [
      'too many operations',
      { nodes: Array.from({ length: graphLimits.nodes + 1 }, () => node('Abs')) },
      /more than 20000 operations/,
    ],
    [
      'functions that multiply',
      { nodes: [node('f7', [], ['window'], 'mine')], functions: laughs },
      /more than 20000 operations/,
    ],
    [
      'a function that calls itself',
      { nodes: [node('me', [], ['window'], 'mine')], functions: [local('me', ['me'])] },
      /or in a circle/,
    ],
    [
      'a tree that runs in a circle',
      { nodes: [tree([1, 0, 0], [2, 2, 0], ['BRANCH_LEQ', 'BRANCH_LEQ', 'LEAF'])] },
      /runs in a circle at node 1/,
    ],
  ] as const)('%s → refused, with the reason, by every reader', (_name, parts, message) => {
    const bytes = model(parts as Parts);
    expect(dangerOf(bytes)).toMatch(message);
    for (const read of [readGraph(bytes), readGraphFacts(bytes)]) {
      expect(read).toMatchObject({ ok: false, error: { code: 'graph-refused' } });
    }
  });

  it('encodings that readers take differently, groups without end → refused', () => {
    const group = new Array(200_000).fill((3 << 3) | 3);
    expect(dangerOf(Uint8Array.from(group))).toMatch(/wire type 3/);
    expect(dangerOf(Uint8Array.from(field(7, 1)))).toMatch(/a known field of wire type 0/);
    const beyond = model();
    expect(dangerOf(beyond.slice(0, beyond.length - 4))).toMatch(/not an ONNX file/);
  });

  it('bytes changed at random, parts swapped, cut → an answer, never a throw, and soon', () => {
    const trained = trainFromRows(pumpRows({ rows: 300, seed: 'fuzz' }), ['a', 'b', 'c'], {
      name: 'p',
      everyMs: 1_000,
    });
    const seeds = [model({ nodes: [deep(3)], functions: laughs }), trained.ok ? trained.value.onnx : model()];
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255)), { maxLength: 6 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, changes, kept) => {
          const bytes = seed.slice(0, Math.ceil(kept * seed.length));
          for (const [at, value] of changes) bytes[Math.floor(at * bytes.length)] = value;
          expect(['string', 'undefined']).toContain(typeof dangerOf(bytes));
          const [one, other] = [readGraph(bytes), readGraphFacts(bytes)];
          for (const read of [one, other]) if (!read.ok) expect(read.error.message.length).toBeGreaterThan(5);
        },
      ),
      { numRuns: 400 },
    );
  });
});
