import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from './adapters/log.ts';
import type { OrderDesk } from './adapters/order-desk.ts';
import type { FlightRecorder } from './adapters/recorder/flight-recorder.ts';
import type { SealDesk } from './adapters/seal-desk.ts';
import { apiAddressFile, type StatusSource } from './api/status-api.ts';
import type { BundleKeeper } from './bundle-keeper.ts';
import type { Input } from './core/input.ts';
import type { ReportBody } from './core/reporting/report.ts';
import type { Obey } from './obedience.ts';
import { agentStatus, drainState, explainDuty, metricsText, type Surroundings } from './status.ts';
import type { Stop } from './stops.ts';

export interface FaceOptions {
  readonly around: Surroundings;
  readonly obey: Obey;
  readonly orders: OrderDesk;
  readonly keeper: BundleKeeper;
  readonly sealDesk: SealDesk;
  readonly recorder: FlightRecorder;
  readonly deliver: (input: Input) => void;
  readonly report: (body: ReportBody) => void;
  readonly log: Log;
}

/** What the box's own API shows and takes: status and reasons, orders, bundles, forced epochs. */
export function agentFace(options: FaceOptions): StatusSource {
  const { around, obey, orders, keeper, sealDesk, recorder, deliver, report, log } = options;
  const { core, models, name } = around;
  const { plan } = around.site;
  return {
    status: () => agentStatus(around),
    explainDuty: (id) => explainDuty(around, id),
    drain: (forMs) => {
      obey({ verb: 'drain', forMs: forMs ?? null }, 'agent API');
      return { accepted: true, drain: drainState(around) };
    },
    undrain: () => void obey({ verb: 'undrain' }, 'agent API'),
    explainCondition: (id) => {
      const spec = plan.conditions.find((condition) => condition.id === id || condition.id.startsWith(`${id} `));
      return spec && { condition: spec.id, source: spec.source, tree: core.health.explain(spec.index) };
    },
    stopRun: (run, by) => obey({ verb: 'stop', run }, by).ok,
    orderWorkflow: (workflow, by) => obey({ verb: 'workflow', workflow }, by).ok,
    takeOrder: (bytes) => {
      const taken = orders.take(bytes, 'the API of this box');
      return taken.ok
        ? { kind: 'obeyed', id: taken.value.id, by: taken.value.by }
        : { kind: 'refused', ...taken.error };
    },
    takeBundle: (bytes) => keeper.give(bytes, 'push'),
    takeForcedEpoch: (bytes) => {
      const judged = sealDesk.forced(bytes);
      if (!judged.ok) {
        const { reason, text } = judged.error;
        log.warn({ reason }, `a forced epoch is refused: ${text}`);
        report({
          type: 'event',
          name: 'forced-epoch-refused',
          subject: name,
          severity: 'warning',
          text: `a statement that forces an epoch is refused: ${text}`.slice(0, 1_000),
          detail: { reason },
        });
        return { kind: 'refused', ...judged.error };
      }
      const { epoch, cell } = judged.value;
      deliver({ kind: 'epoch-forced', message: judged.value });
      return { kind: 'accepted', epoch, cell: core.exclusive.leases.cellOf(cell)?.id ?? '' };
    },
    metrics: () => metricsText(around),
    actOnModel: (model, act) => models.act(model, act, 'agent API'),
    evidence: () => recorder.evidence(),
    readEvidence: (id) => recorder.read(id),
  };
}

/** Writes down where the API is, for the commands of this box, which then need no more than the folder. */
export function noteAddress(dataDir: string, address: string, log: Log): Stop {
  const note = join(dataDir, apiAddressFile);
  try {
    writeFileSync(note, `${address}\n`, { mode: 0o600 });
  } catch (error) {
    log.warn({ error: String(error) }, 'the address of the API could not be written down: say it with --api');
  }
  return () => rmSync(note, { force: true });
}
