import { useQuery } from '@tanstack/react-query';
import type { TFunction } from 'i18next';
import type { CSSProperties } from 'react';
import { useTranslation } from 'react-i18next';
import type { IncidentDetail } from '../../../api/schemas.ts';
import { CallError } from '../client.ts';
import { Crumb, TitleLine } from '../list-page.tsx';
import { Outcome } from '../outcome.tsx';
import { queries } from '../queries.ts';
import { Placeholder } from '../search.tsx';
import { At, figure } from '../times.tsx';

/** One causal line from the first symptom to the verified heal. */
export function IncidentPage({ id }: { readonly id: string }) {
  const { t } = useTranslation();
  const query = useQuery(queries.incident(id));
  const missing = query.error instanceof CallError && query.error.status === 404;
  return (
    <section className="incident">
      <Crumb href="/incidents" word="incidents" />
      {query.data !== undefined ? (
        <Incident incident={query.data} />
      ) : missing ? (
        <p className="empty">{t('noIncident')}</p>
      ) : (
        <Placeholder query={query} empty={t('noIncident')} />
      )}
    </section>
  );
}

function Incident({ incident }: { readonly incident: IncidentDetail }) {
  const { t } = useTranslation();
  const nodes = nodesOf(t, incident);
  return (
    <>
      <TitleLine
        title={
          <>
            {incident.thing} <span className="muted">{incident.symptom}</span>
          </>
        }
      >
        <p className="outcome">
          <Outcome incident={incident} />
        </p>
      </TitleLine>
      <p className="muted">
        {t('runBy', { run: incident.run, agent: incident.agent })} · <At at={incident.firstBadAt} />
        {incident.relapse && ` · ${t('relapseLong')}`}
      </p>
      <Axis incident={incident} nodes={nodes} />
      <h2>{t('timeline')}</h2>
      <ol className="causal">
        {nodes.map((node) => (
          <Point key={node.id} node={node} from={incident.firstBadAt} />
        ))}
      </ol>
    </>
  );
}

interface Node {
  /** Its place in the line. */
  readonly id: number;
  readonly at: number;
  /** Part of the line that it belongs to: what was seen, decided, done, and how it ended. */
  readonly kind: 'seen' | 'decided' | 'done' | 'bad' | 'well';
  readonly title: string;
  readonly text: string;
}

const nodesOf = (t: TFunction, incident: IncidentDetail): Node[] => {
  const { entries, steps } = incident;
  const opened = entries.find((e) => e.entry === 'open');
  const nodes: Omit<Node, 'id'>[] = [
    { at: incident.firstBadAt, kind: 'seen', title: t('nodeSymptom'), text: incident.symptom },
    {
      at: incident.conditionAt,
      kind: 'seen',
      title: t('nodeCondition'),
      text: String(opened?.detail['evidence'] ?? ''),
    },
  ];
  for (const { entry, at, detail } of entries) {
    const said = (key: string): string => String(detail[key] ?? '');
    const step = said('name');
    const push = (kind: Node['kind'], title: string, ...texts: readonly string[]): void => {
      nodes.push({ at, kind, title, text: texts.filter((text) => text !== '').join(' · ') });
    };
    switch (entry) {
      case 'heartbeat':
      case 'quiet':
        break;
      case 'open':
        push('decided', t('nodeOpen'), incident.workflow);
        break;
      case 'intent': {
        const tries = Number(detail['try'] ?? 0);
        push('decided', t('nodeIntent', { step }), tries > 0 ? t('try', { n: tries + 1 }) : '');
        break;
      }
      case 'done': {
        const outcome = said('outcome');
        if (outcome === 'ok') push('done', t('nodeDoneOk', { step }), said('detail'));
        else if (outcome === 'skipped') push('decided', t('nodeDoneSkipped', { step }), said('detail'));
        else if (outcome === 'refused') push('bad', t('nodeDoneRefused', { step }), said('detail'));
        else if (outcome === 'late') push('bad', t('nodeDoneLate', { step }), said('detail'));
        else push('bad', t('nodeDoneFailed', { step }), said('detail'));
        break;
      }
      case 'denied':
        push('bad', t('nodeDenied'), t('guard', { guard: said('guard') }), said('reason'));
        break;
      case 'doubt':
        push('bad', t('nodeDoubt', { step }), said('detail'));
        break;
      case 'verify':
        push('decided', t('nodeVerify'));
        break;
      case 'soak':
        push('well', t('nodeSoak'));
        break;
      case 'stop':
        push('bad', t('nodeStop', { by: said('by') }));
        break;
      case 'end': {
        const outcome = said('outcome');
        if (outcome === 'HEALED') push('well', t('nodeHealed'), said('reason'));
        else push(outcome === 'RECOVERED' ? 'well' : 'bad', outcomeWord(t, outcome), said('reason'));
        break;
      }
      default:
        push('decided', t('nodeOther', { entry }));
    }
  }
  // An incident may come before its run's entries, or after they were forgotten: then its own steps speak.
  if (!entries.some((e) => e.entry === 'intent' || e.entry === 'done')) {
    for (const step of steps) {
      const ok = step.outcome === 'ok';
      nodes.push({
        at: step.at,
        kind: ok ? 'done' : 'bad',
        title: t(ok ? 'nodeDoneOk' : 'nodeDoneFailed', { step: step.name }),
        text: step.detail,
      });
    }
  }
  if (!entries.some((e) => e.entry === 'end')) {
    const well = incident.outcome === 'HEALED' || incident.outcome === 'RECOVERED';
    nodes.push({
      at: incident.healedAt ?? incident.receivedAt,
      kind: well ? 'well' : 'bad',
      title: incident.outcome === 'HEALED' ? t('nodeHealed') : outcomeWord(t, incident.outcome),
      text: incident.reason,
    });
  }
  return nodes.sort((a, b) => a.at - b.at).map((node, id) => ({ ...node, id }));
};

const outcomeWord = (t: TFunction, outcome: string): string => {
  const key = `outcome${outcome}`;
  const word = t(key as 'outcomeFAILED');
  return word === key ? outcome : word;
};

const FORMS = { seen: '◆', decided: '○', done: '●', bad: '✕', well: '✓' } as const;

function Point({ node, from }: { readonly node: Node; readonly from: number }) {
  const { t, i18n } = useTranslation();
  return (
    <li className={`point ${node.kind}`}>
      <span className="offset figures num">+{figure(t, i18n.language, Math.max(0, node.at - from))}</span>
      <span className="clock">
        <At at={node.at} fine day={from} />
      </span>
      <span className="mark" aria-hidden>
        {FORMS[node.kind]}
      </span>
      <span className="told">
        <strong>{node.title}</strong>
        {node.text !== '' && <span className="muted">{node.text}</span>}
      </span>
    </li>
  );
}

/** The three lengths and every point on one axis, so that where the time went is seen, not computed. */
function Axis({ incident, nodes }: { readonly incident: IncidentDetail; readonly nodes: readonly Node[] }) {
  const { t, i18n } = useTranslation();
  const from = incident.firstBadAt;
  const last = Math.max(...nodes.map((n) => n.at), incident.healedAt ?? from);
  const whole = Math.max(1, last - from);
  const acted = incident.conditionAt - from;
  const spans = [
    ['mttdLong', 0, incident.mttdMs],
    ['mttaLong', acted, incident.mttaMs],
    ['mttrLong', 0, incident.mttrMs],
  ] as const;
  const percent = (ms: number): string => `${Math.min(100, Math.max(0, (ms / whole) * 100)).toFixed(2)}%`;
  const ticks = ticksOf(whole);
  const text = spans.map(([word, , ms]) => `${t(word)} ${figure(t, i18n.language, ms)}`).join(', ');
  return (
    <div className="axis" role="img" aria-label={t('axis', { text })}>
      {spans.map(([word, start, ms]) => (
        <div className="axis-row" key={word}>
          <span className="axis-word">{t(word)}</span>
          <span className="axis-track">
            {ms !== null && (
              <span
                className={`axis-span ${word}`}
                style={{ '--start': percent(start), '--length': percent(ms) } as CSSProperties}
              />
            )}
          </span>
          <span className="axis-figure figures num">{figure(t, i18n.language, ms)}</span>
        </div>
      ))}
      <div className="axis-row">
        <span className="axis-word" />
        <span className="axis-track axis-points">
          {ticks.map((tick) => (
            <span className="axis-tick figures" key={tick} style={{ '--start': percent(tick) } as CSSProperties}>
              {tick === 0 ? '0' : figureOfTick(t, i18n.language, tick)}
            </span>
          ))}
          {nodes.map((node) => (
            <span
              className={`axis-point ${node.kind}`}
              key={node.id}
              style={{ '--start': percent(node.at - from) } as CSSProperties}
            />
          ))}
        </span>
        <span className="axis-figure" />
      </div>
    </div>
  );
}

/** At most five round steps of 1, 2 or 5 times a power of ten. */
const ticksOf = (whole: number): number[] => {
  const power = 10 ** Math.floor(Math.log10(whole));
  const step = [0.2, 0.5, 1, 2, 5].map((n) => n * power).find((s) => whole / s <= 5) ?? power;
  const ticks: number[] = [];
  // The last one keeps clear of the edge, where its label would not fit.
  for (let at = 0; at <= whole * 0.96; at += step) ticks.push(at);
  return ticks;
};

const figureOfTick = (t: TFunction, language: string, ms: number): string =>
  ms < 1_000
    ? `${Math.round(ms)} ${t('unitMs')}`
    : `${new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(ms / 1_000)} ${t('unitS')}`;
