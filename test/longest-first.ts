import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Seconds of the longest files as last measured on two quiet cores. The others take a few seconds, or less. */
const seconds: Readonly<Record<string, number>> = {
  'test/browser/console.test.ts': 100,
  'test/simulations/demo/story.test.ts': 70,
  'test/adapters/plc/opcua.test.ts': 32,
  'test/integration/bundle.test.ts': 26,
  'test/integration/exclusive-duty.test.ts': 26,
  'test/simulations/demo/end.test.ts': 20,
  'test/supervisor/duty-ends.test.ts': 20,
  'test/adapters/duty-runners/poll.test.ts': 19,
  'test/integration/bad-input.test.ts': 19,
  'test/integration/drain.test.ts': 17,
  'test/simulations/plant/plant.test.ts': 17,
  'test/adapters/mesh/mesh.test.ts': 16,
  'test/simulations/leases/lease-world.test.ts': 16,
  'test/integration/doctor.test.ts': 14,
  'test/simulations/run.test.ts': 14,
  'test/browser/simulation-report.test.ts': 12,
  'test/simulations/mutants.test.ts': 11,
  'test/coordinator/killed.test.ts': 11,
  'test/supervisor/watch.test.ts': 11,
};

/**
 * The longest first, so that no core idles while the other is at a long one that came last. vitest goes by what it learnt
 * in former runs; a fresh checkout has not learnt anything, and there it goes by the length of the text, which says
 * nothing of a test that starts ten processes in twenty lines.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const secondsOf = ({ moduleId }: TestSpecification): number =>
      seconds[relative(this.ctx.config.root, moduleId).replaceAll('\\', '/')] ?? 0;
    // Files of one project stand together, and which project comes first is vitest's business.
    const byProject = Map.groupBy(await super.sort(files), ({ project }) => project);
    return [...byProject.values()].flatMap((own) => own.sort((a, b) => secondsOf(b) - secondsOf(a)));
  }
}
