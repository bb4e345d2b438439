import { Catalog } from '../../../models/catalog.ts';
import type { ModelIndex, SignalIndex } from '../../base/ids.ts';
import type { WallTime } from '../../base/time.ts';
import type { ModelSpec, Score } from '../../core/health/model.ts';
import type { Sample } from '../../core/health/signal.ts';
import type { Site } from '../../driver/bindings.ts';
import type { Deliver } from '../../driver/ports.ts';
import { type LaneStats, ScoringLane } from './scoring-lane.ts';

export interface ModelScorerOptions {
  readonly site: Pick<Site, 'plan'>;
  readonly deliver: Deliver;
  readonly log: {
    info(fields: object, text: string): void;
    warn(fields: object, text: string): void;
  };
  /** Folder that the site's model files start from (`Site.modelRoot`). */
  readonly catalogRoot: string;
  /** Bigger model files are refused unread. */
  readonly maxBytes?: number;
  /** Hears every score, for the recorder; `end`: time of the window's newest row, by the source. */
  readonly onScore?: (model: ModelIndex, score: Score, end: WallTime) => void;
}

export interface ModelScorer {
  /** Checks every model of the site without running any; what is refused is delivered as `model-refused`. */
  start(): Promise<void>;
  /** Tap for every sample that this agent polls. The first one of a model's inputs opens its session. */
  onSample(sample: Sample): void;
  stats(): readonly ModelStats[];
  /** Takes nothing more, and waits for the run under way. */
  stop(): Promise<void>;
}

export interface ModelStats extends LaneStats {
  readonly model: string;
}

/**
 * From samples to scores: aligns a model's inputs in source time, keeps its window, runs it, delivers
 * `score-computed`. A model that is refused stays refused until the next start, and everything else goes on.
 */
export function createModelScorer(options: ModelScorerOptions): ModelScorer {
  const { site, catalogRoot, maxBytes } = options;
  const catalog = new Catalog(catalogRoot);
  const files = site.plan.models.filter(({ learn }) => learn === undefined);
  const seats = files.map((spec) => ({ spec, lane: laneFor(spec, options) }));
  const bySignal = new Map<SignalIndex, ScoringLane[]>();
  for (const { spec, lane } of seats) {
    for (const signal of new Set(spec.inputs.map((input) => input.signal))) {
      const list = bySignal.get(signal);
      if (list === undefined) bySignal.set(signal, [lane]);
      else list.push(lane);
    }
  }
  return {
    async start() {
      for (const { spec, lane } of seats) {
        const { file, sha256 } = spec;
        lane.checked(await catalog.check(file, { sha256, ...(maxBytes === undefined ? {} : { maxBytes }) }));
      }
    },
    onSample(sample) {
      const list = bySignal.get(sample.signal);
      if (list !== undefined) for (const lane of list) lane.take(sample);
    },
    stats: () => seats.map(({ spec, lane }) => ({ model: spec.id, ...lane.stats() })),
    async stop() {
      await Promise.all(seats.map(({ lane }) => lane.stop()));
    },
  };
}

function laneFor(spec: ModelSpec, { site, deliver, log, onScore }: ModelScorerOptions): ScoringLane {
  return new ScoringLane(spec.file, spec, site.plan.signals, {
    opened: ({ name, version, threshold, onnx }) =>
      log.info({ model: spec.id, name, version, threshold: threshold?.value, sha256: onnx.sha256 }, 'model scores'),
    scored: ({ score, end }) => {
      onScore?.(spec.index, score, end);
      deliver({ kind: 'score-computed', model: spec.index, score, windowEnd: end });
    },
    refused: ({ code, message }) => {
      log.warn({ model: spec.id, code }, message);
      deliver({ kind: 'model-refused', model: spec.index, reason: message });
    },
  });
}
