import type { ModelView } from '../api/schemas.ts';
import type { FleetAgent } from './fleet.ts';

type Said = NonNullable<NonNullable<FleetAgent['health']>['models']>[number];

/**
 * Every model of the site: one row for each box that scores it, and one for each that no box in reach scores. What a box
 * that is away said last is not shown as if it still held: its models count as missing until somebody scores them.
 */
export function modelViews(agents: readonly FleetAgent[]): ModelView[] {
  const planned = new Map<string, { readonly kind: string; readonly file?: string | undefined }>();
  for (const { info } of agents) {
    for (const { model, kind, file } of info?.models ?? []) if (!planned.has(model)) planned.set(model, { kind, file });
  }
  const rows: ModelView[] = [];
  for (const { agent, presence, health } of agents) {
    if (presence !== 'online') continue;
    for (const said of health?.models ?? []) {
      rows.push(view(said, agent, planned.get(said.model)?.kind ?? 'file'));
    }
  }
  const scored = new Set(rows.map(({ model }) => model));
  for (const [model, { kind, file }] of planned) {
    if (!scored.has(model)) rows.push({ ...view({ model, state: 'unknown', file }, null, kind), state: 'missing' });
  }
  return rows.sort((a, b) => compare(a.model, b.model) || compare(a.agent ?? '', b.agent ?? ''));
}

const view = (said: Partial<Said> & Pick<Said, 'model' | 'state'>, agent: string | null, kind: string): ModelView => {
  const { model, shadow, previous } = said;
  const isRefused = said.why !== undefined && said.kind !== 'learns' && said.state !== 'shed';
  return {
    model,
    thing: model.split('/')[0] ?? model,
    kind: said.kind ?? kind,
    agent,
    state: isRefused ? 'refused' : (oneOf(['normal', 'anomalous', 'shed'], said.state) ?? 'unknown'),
    why: said.why ?? null,
    file: said.file === undefined || said.file === '' ? null : said.file,
    version: said.version ?? null,
    from: oneOf(['site', 'box'], said.from) ?? null,
    since: said.since ?? null,
    seat: said.seat === undefined ? null : (oneOf(['site', 'person', 'reverted'], said.seat) ?? 'other'),
    seatWhy: said.seatWhy ?? null,
    windows: said.windows ?? null,
    falseAlarmRate: said.falseAlarmRate ?? null,
    limit: said.limit ?? null,
    drift: oneOf(['stable', 'moved'], said.drift) ?? 'unknown',
    moved: (said.moved ?? []).map(({ name, shift, psi }) => ({ name, shift, psi: psi ?? null })),
    shadow:
      shadow === undefined
        ? null
        : {
            file: shadow.file,
            state: shadow.state,
            why: shadow.why ?? null,
            agreement: shadow.agreement ?? null,
            windows: shadow.windows ?? null,
            falseAlarmRate: shadow.falseAlarmRate ?? null,
            onlyIncumbent: shadow.onlyIncumbent ?? null,
            onlyShadow: shadow.onlyShadow ?? null,
          },
    previous: previous === undefined ? null : { file: previous.file, falseAlarmRate: previous.falseAlarmRate ?? null },
  };
};

const oneOf = <const T extends string>(words: readonly T[], word: string | undefined): T | undefined =>
  words.find((one) => one === word);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
