/**
 * A process that repairs: the real remediation on the real store, with files for a plant. It kills itself with SIGKILL
 * where it is told to, so that what is tested is what a dead process leaves on a real disk.
 *
 *   node repairing-process.ts DIR DOUBT (entry|effect|never) N
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../../agent/adapters/store/sqlite-journal.ts';
import { bootId, entryId } from '../../../agent/base/ids.ts';
import { Random } from '../../../agent/base/random.ts';
import { type Instant, instant, wallTime } from '../../../agent/base/time.ts';
import type { Truth } from '../../../agent/base/truth.ts';
import type { Input } from '../../../agent/core/input.ts';
import type { JournalEntry } from '../../../agent/core/remediation/journal-entry.ts';
import { Remediation } from '../../../agent/core/remediation/remediation.ts';
import type { RemediationOutput } from '../../../agent/core/remediation/remediation-output.ts';
import type { DoubtKind, StepSpec } from '../../../agent/core/remediation/workflow.ts';

const [dir = '', doubt = 'idempotent', killAt = 'never', killCount = '0'] = process.argv.slice(2);
const effects = join(dir, 'effects.log');
const mended = join(dir, 'mended');

const step = (name: string): StepSpec => ({
  name,
  action: { kind: 'command.run', argv: [name] },
  timeoutMs: 200,
  retry: { times: 0, backoffMs: 0 },
  doubt: doubt as DoubtKind,
  landsWithinMs: 20,
  fixing: true,
});

const die = (): void => {
  process.kill(process.pid, 'SIGKILL');
};
const now = (): Instant => instant(performance.now());
const truth = (condition: number): Truth => ((condition === 0) === existsSync(mended) ? 'false' : 'true');

let durable = 0;
let landed = 0;
let timer: NodeJS.Timeout | undefined;
const pending = new Map<number, readonly JournalEntry[]>();
const store = openStore({ dir, deliver });
const life = store.nextBootCounter();
const boot = bootId(String(life).padStart(8, '0').padEnd(32, '0'));

const core = new Remediation({
  workflows: [
    {
      index: 0,
      id: entryId('pump/mend'),
      thing: 0,
      runsOn: { on: 'every' },
      when: 0,
      at: undefined,
      onlyIf: undefined,
      onlyIn: [],
      lockout: undefined,
      budget: { count: 3, perMs: 86_400_000 },
      cooldownMs: 60_000,
      permit: undefined,
      guardWaitMs: 1_000,
      steps: [step('drain'), step('fix')],
      verify: 1,
      verifyTimeoutMs: 300,
      soakMs: 30,
      quietMs: 60_000,
      ifFailed: [],
    },
  ],
  identity: { boot },
  restored: store.restore().journal,
  random: new Random(life),
  facts: {
    truth,
    times: () => ({ firstBadAt: now(), conditionAt: now() }),
    evidence: () => 'not mended',
    inStates: () => 'true',
    lockout: () => 'false',
    runsHere: () => true,
    wallAt: () => wallTime(Date.now()),
    thing: () => 'pump',
    condition: () => 'broken',
  },
});

function carryOut(out: readonly RemediationOutput[]): void {
  for (const output of out) {
    if (output.kind !== 'persist') continue;
    const entries = output.drafts.map(
      (draft) => ({ ...draft, v: 1, boot, wall: wallTime(Date.now()) }) as JournalEntry,
    );
    pending.set(output.token, entries);
    store.append(output.token, entries);
  }
  for (const output of out) {
    switch (output.kind) {
      case 'read-baseline':
        setImmediate(() => tell((o) => core.baselineRead(now(), { ...output, baseline: String(lines().length) }, o)));
        break;
      case 'issue-action': {
        const name = output.action.kind === 'command.run' ? (output.action.argv[0] ?? '') : '';
        appendFileSync(effects, `${name}\n`);
        if (name === 'fix') writeFileSync(mended, '');
        landed++;
        if (killAt === 'effect' && landed === Number(killCount)) die();
        setTimeout(() => tell((o) => core.actionCompleted(now(), { ...output, outcome: 'ok', detail: 'done' }, o)), 5);
        break;
      }
      case 'probe-action': {
        const name = output.action.kind === 'command.run' ? (output.action.argv[0] ?? '') : '';
        const applied = lines().slice(Number(output.baseline)).includes(name) ? 'applied' : 'not-applied';
        setImmediate(() => tell((o) => core.actionProbed(now(), { ...output, applied, detail: 'looked' }, o)));
        break;
      }
      case 'incident':
        process.stdout.write(`${JSON.stringify({ outcome: output.body.outcome, reason: output.body.reason })}\n`);
        store.close();
        process.exit(0);
    }
  }
  clearTimeout(timer);
  const wait = core.deadline() - now();
  if (Number.isFinite(wait)) timer = setTimeout(() => tell((o) => core.tick(now(), o)), Math.max(0, wait));
}

function tell(run: (out: RemediationOutput[]) => void): void {
  const out: RemediationOutput[] = [];
  run(out);
  carryOut(out);
}

function deliver(input: Input): void {
  if (input.kind !== 'persisted') throw new Error(`not expected here: ${input.kind}`);
  durable += pending.get(input.token)?.filter((entry) => entry.kind !== 'heartbeat').length ?? 0;
  // Durable, and the core has not heard of it: the narrowest place to die in.
  if (killAt === 'entry' && durable >= Number(killCount)) die();
  tell((o) => core.persisted(now(), input.token, o));
}

function lines(): readonly string[] {
  return existsSync(effects) ? readFileSync(effects, 'utf8').trim().split('\n') : [];
}

tell((o) => core.start(now(), o));
