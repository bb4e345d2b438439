import { useQuery } from '@tanstack/react-query';
import type { TFunction } from 'i18next';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import type { ModelView } from '../../../api/schemas.ts';
import { Command } from '../copy.tsx';
import { ListPage } from '../list-page.tsx';
import { adviceFor, byUrgency } from '../model-advice.ts';
import { queries } from '../queries.ts';
import { Sign } from '../shapes.tsx';
import { Ago } from '../times.tsx';

/** Which models judge the machines, whether they may be believed, and what sits beside them. */
export function ModelsPage() {
  const { t } = useTranslation();
  return (
    <ListPage
      title={t('models')}
      query={useQuery(queries.models)}
      searched={(m) => [m.model, m.agent, m.file, m.state, m.shadow?.file, t(`model_${m.state}`)]}
      order={byUrgency}
      empty={t('noModels')}
      text={t('noModelsText')}
    >
      {(rows) => (
        <ul className="models">
          {rows.map((model) => (
            <Model key={`${model.model} ${model.agent}`} model={model} />
          ))}
        </ul>
      )}
    </ListPage>
  );
}

const SIGN = { normal: undefined, anomalous: 'S', unknown: 'C', shed: 'C', refused: 'F', missing: 'F' } as const;

function Model({ model }: { readonly model: ModelView }) {
  const { t, i18n } = useTranslation();
  const { shadow, previous } = model;
  const isLearning = model.kind === 'learns' && model.state === 'unknown' && model.why !== null;
  const sign = isLearning ? undefined : SIGN[model.state];
  const number = (value: number): string =>
    new Intl.NumberFormat(i18n.language, { maximumSignificantDigits: 3 }).format(value);
  const percent = (share: number): string => `${number(share * 100)} %`;
  const isUnreliable = model.falseAlarmRate !== null && model.limit !== null && model.falseAlarmRate > model.limit;
  const advice = adviceFor(model);
  return (
    <li data-model={model.model} data-state={model.state}>
      <div className="model-who">
        <h2>{model.model}</h2>
        <span className={sign === undefined ? undefined : 'wrong'}>
          {sign !== undefined && <Sign kind={sign} />}
          {t(isLearning ? 'model_learning' : `model_${model.state}`)}
        </span>
        {model.why !== null && <span className="sub">{model.why}</span>}
        <span className="sub muted">
          {[model.agent === null ? undefined : t('modelOn', { agent: model.agent }), kindText(t, model)]
            .filter(Boolean)
            .join(' · ')}
        </span>
      </div>
      <dl className="model-facts">
        {model.file !== null && (
          <Fact name={t('modelFile')}>
            {model.file}
            {model.version !== null && <span className="muted"> {t('modelVersion', { v: model.version })}</span>}
            {model.seat !== null && (
              <span className={`sub ${model.seat === 'reverted' ? 'wrong' : 'muted'}`}>
                {model.seat === 'reverted' && <Sign kind="S" />}
                {t(`seat_${model.seat}`)} {model.since !== null && <Ago at={model.since} />}
                {model.seat !== 'site' && model.seatWhy !== null && <span className="sub muted">{model.seatWhy}</span>}
              </span>
            )}
          </Fact>
        )}
        {model.windows !== null && (
          <Fact name={t('modelWindows')}>
            <span className="figures num">{number(model.windows)}</span>
          </Fact>
        )}
        {model.limit !== null && (
          <Fact name={t('falseAlarms')}>
            <span className={isUnreliable ? 'wrong' : undefined}>
              {isUnreliable && <Sign kind="S" />}
              {model.falseAlarmRate === null ? (
                <span className="muted">{t('tooFew')}</span>
              ) : (
                <span className="figures num">{percent(model.falseAlarmRate)}</span>
              )}
            </span>
            <span className="sub muted">{t('allowed', { share: percent(model.limit) })}</span>
          </Fact>
        )}
        {model.kind === 'file' && model.drift !== 'unknown' && (
          <Fact name={t('drift')}>
            <span className={model.drift === 'moved' ? 'wrong' : 'muted'}>
              {model.drift === 'moved' && <Sign kind="M" />}
              {t(`drift_${model.drift}`)}
            </span>
            {model.moved.map(({ name, shift, psi }) => (
              <span className="sub" key={name}>
                {t('movedBy', { name, n: number(shift) })}
                {psi !== null && <span className="muted"> {t('psi', { n: number(psi) })}</span>}
              </span>
            ))}
          </Fact>
        )}
        {shadow !== null && (
          <Fact name={t('shadow')} wide>
            {shadow.file}
            {shadow.state === 'refused' ? (
              <span className="sub wrong">
                <Sign kind="F" />
                {t('model_refused')}
                {shadow.why !== null && `: ${shadow.why}`}
              </span>
            ) : (
              <>
                {shadow.state === 'shed' && <span className="sub">{t('model_shed')}</span>}
                <span className="sub">
                  {shadow.agreement === null ? t('notCompared') : t('agrees', { share: percent(shadow.agreement) })}
                  {shadow.windows !== null && ` · ${t('windowsN', { n: number(shadow.windows) })}`}
                </span>
                {shadow.onlyShadow !== null && shadow.onlyIncumbent !== null && (
                  <span className="sub muted">
                    {t('aloneAbove', { shadow: number(shadow.onlyShadow), this: number(shadow.onlyIncumbent) })}
                  </span>
                )}
                <span className="sub muted">
                  {t('falseAlarms')}: {shadow.falseAlarmRate === null ? t('tooFew') : percent(shadow.falseAlarmRate)}
                </span>
              </>
            )}
          </Fact>
        )}
        {previous !== null && (
          <Fact name={t('standsBy')}>
            {previous.file}
            {previous.falseAlarmRate !== null && (
              <span className="sub muted">
                {t('falseAlarms')}: {percent(previous.falseAlarmRate)}
              </span>
            )}
          </Fact>
        )}
      </dl>
      {advice.length > 0 && (
        <ul className="model-advice">
          {advice.map(({ word, command }) => (
            <li key={word}>
              <span>{t(word)}</span>
              {command !== undefined && <Command line={command} />}
            </li>
          ))}
        </ul>
      )}
    </li>
  );
}

const kindText = (t: TFunction, { kind, from }: ModelView): string =>
  t(kind === 'learns' ? 'kindLearns' : from === 'box' ? 'kindBox' : 'kindFile');

function Fact({
  name,
  wide = false,
  children,
}: {
  readonly name: string;
  readonly wide?: boolean;
  readonly children: ReactNode;
}) {
  return (
    <div className={wide ? 'wide' : undefined}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
