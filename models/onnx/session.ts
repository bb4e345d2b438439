import { createHash } from 'node:crypto';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';

/** What one run says of each window. */
export interface ScoringRun {
  /** [N]; NaN from a model that gives no score. */
  readonly scores: Float32Array;
  /** [N·C], shares of a score, sum 1; zeros where nobody can tell. */
  readonly contributions: Float32Array;
  /** [N], of models that tell what a window is. */
  readonly classes?: readonly (string | undefined)[];
  /** [N], of models that tell what will be, in the manifest's unit. */
  readonly forecasts?: readonly (number | undefined)[];
}

/** Scores windows with ONNX Runtime. `run` blocks the event loop for the inference itself: keep windows small. */
export interface ScoringSession {
  /** `windows` holds N windows of W rows and C channels, flat; what it gives are copies. */
  run(windows: Float32Array, n: number): Promise<ScoringRun>;
  release(): Promise<void>;
}

/** The part of a tensor that is read. */
export type RuntimeTensor = Pick<Tensor, 'data'>;

/** A graph that is open, for one of those who run it. */
export interface OpenGraph {
  readonly runtime: typeof import('onnxruntime-node');
  /** Shared with whoever else runs the same graph: it keeps nothing between two runs, and it is not to be released. */
  readonly session: Omit<InferenceSession, 'release'>;
  /** This user is done with it; the last one closes it. */
  release(): Promise<void>;
}

/**
 * Opens a graph. ONNX Runtime is imported here and only here, at the first call: who scores nothing pays nothing. One
 * thread and no arena: windows are tiny, and an edge box has better use for the memory.
 *
 * A graph that is open already (the same bytes) is opened once and used by all: ten presses of one type have one model,
 * and a session of its own would cost each of them 0.2 MB.
 */
export async function openRuntime(onnx: Uint8Array): Promise<Result<OpenGraph, ModelProblem>> {
  const key = createHash('sha256').update(onnx).digest('base64');
  const graph = graphs.get(key) ?? { users: 0, opening: create(onnx) };
  graphs.set(key, graph);
  graph.users++;
  let isUser = true;
  const leave = async (): Promise<void> => {
    if (!isUser) return;
    isUser = false;
    if (--graph.users > 0) return;
    // Not before the runtime is done with it, and nobody may come to it meanwhile.
    graphs.delete(key);
    await graph.opening.then(({ session }) => session.release());
  };
  try {
    return ok({ ...(await graph.opening), release: leave });
  } catch (cause) {
    if (--graph.users === 0) graphs.delete(key);
    return err(problem('runtime-failed', `ONNX Runtime cannot load it: ${textOf(cause)}`));
  }
}

/** One thread, no arena: what every graph is opened with. */
export const sessionOptions: InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  enableCpuMemArena: false,
  enableMemPattern: false,
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
};

/** Of this process, by what is in them; bounded by the models that somebody runs. */
const graphs = new Map<string, { users: number; readonly opening: ReturnType<typeof create> }>();

/** How many graphs are open in this process. */
export const openGraphs = (): number => graphs.size;

async function create(onnx: Uint8Array): Promise<Omit<OpenGraph, 'release'> & { readonly session: InferenceSession }> {
  // Its Linux and macOS builds report to their maker unless told before they load, and leave an id, a cache and a log
  // behind. A factory's box talks to nobody whom its owner did not name.
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  const runtime = await import('onnxruntime-node');
  const session = await runtime.InferenceSession.create(onnx, sessionOptions);
  return { runtime, session };
}

/** Opens a model of our own making: `window` [N, W, C] → `score` [N], `contributions` [N, C]. */
export async function openSession(
  onnx: Uint8Array,
  windowRows: number,
  channels: number,
): Promise<Result<ScoringSession, ModelProblem>> {
  const opened = await openRuntime(onnx);
  if (!opened.ok) return opened;
  const { runtime, session, release } = opened.value;
  return ok({
    async run(windows, n) {
      const input = new runtime.Tensor('float32', windows, [n, windowRows, channels]);
      const { score, contributions } = await session.run({ window: input });
      return { scores: floatsOf(score), contributions: floatsOf(contributions) };
    },
    release,
  });
}

const floatsOf = (tensor: Tensor | undefined): Float32Array =>
  tensor?.data instanceof Float32Array ? tensor.data : new Float32Array();

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).slice(0, 300);
