import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Result } from '../../agent/base/result.ts';
import { err, ok } from '../../agent/base/result.ts';
import { type ModelProblem, problem } from '../problem.ts';

/** Scores windows with ONNX Runtime. `run` blocks the event loop for the inference itself: keep windows small. */
export interface ScoringSession {
  /** `windows` holds N windows of W rows and C channels, flat; the scores [N] and contributions [N·C] are copies. */
  run(
    windows: Float32Array,
    n: number,
  ): Promise<{ readonly scores: Float32Array; readonly contributions: Float32Array }>;
  release(): Promise<void>;
}

/**
 * Opens a model. ONNX Runtime is imported here and only here, at the first call: who scores nothing pays nothing. One
 * thread and no arena: windows are tiny, and an edge box has better use for the memory.
 */
export async function openSession(
  onnx: Uint8Array,
  windowRows: number,
  channels: number,
): Promise<Result<ScoringSession, ModelProblem>> {
  let runtime: typeof import('onnxruntime-node');
  let session: InferenceSession;
  // Its Linux and macOS builds report to their maker unless told before they load, and leave an id, a cache and a log
  // behind. A factory's box talks to nobody whom its owner did not name.
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  try {
    runtime = await import('onnxruntime-node');
    session = await runtime.InferenceSession.create(onnx, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      enableCpuMemArena: false,
      enableMemPattern: false,
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
    });
  } catch (cause) {
    return err(problem('runtime-failed', `ONNX Runtime cannot load it: ${textOf(cause)}`));
  }
  return ok({
    async run(windows, n) {
      const input = new runtime.Tensor('float32', windows, [n, windowRows, channels]);
      const { score, contributions } = await session.run({ window: input });
      return { scores: floatsOf(score), contributions: floatsOf(contributions) };
    },
    release: () => session.release(),
  });
}

const floatsOf = (tensor: Tensor | undefined): Float32Array =>
  tensor?.data instanceof Float32Array ? tensor.data : new Float32Array();

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).slice(0, 300);
