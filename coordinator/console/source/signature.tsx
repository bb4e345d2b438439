import { Button, Input } from '@mantine/core';
import { useId, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { Command } from './copy.tsx';
import { Form, TextField } from './form.tsx';
import { orderLine, readSigner, type Signer } from './order-signing.ts';
import { actText, type Wish } from './ordering.ts';
import { usePerson } from './person.ts';
import { Sign } from './shapes.tsx';
import { canSign, holdSigner } from './signer.ts';

/** Signed here with the person's own key; where the browser gives no means, the line to type. */
export function Signature({
  asked,
  site,
  onSigner,
  onLeave,
}: {
  readonly asked: Wish;
  readonly site: string;
  readonly onSigner: (signer: Signer) => void;
  readonly onLeave: () => void;
}) {
  const { t } = useTranslation();
  const person = usePerson();
  const [by, setBy] = useState(person);
  const [file, setFile] = useState<File>();
  const [trouble, setTrouble] = useState('');
  const fileId = useId();
  const able = canSign();
  const send = (): void => {
    if (file === undefined || by.trim() === '') return;
    file
      .text()
      .then((pem) => readSigner(by.trim(), pem))
      .then(
        (signer) => {
          holdSigner(signer);
          onSigner(signer);
        },
        (error: Error) => setTrouble(error.message),
      );
  };
  return (
    <Form className="panel" onSend={send} onLeave={onLeave}>
      <h2>{t('signIt')}</h2>
      <p>{actText(t, asked.act)}</p>
      {able ? (
        <>
          <p className="muted">{t('signText')}</p>
          <div className="fields">
            <TextField label={t('nameInSite')} size="md" value={by} onText={setBy} maxLength={63} required />
            <Input.Wrapper className="file" id={fileId} label={t('keyFile')} size="md" required>
              <input
                id={fileId}
                type="file"
                accept=".key,.pem"
                onChange={(event) => setFile(event.currentTarget.files?.[0])}
                required
              />
            </Input.Wrapper>
          </div>
          {trouble !== '' && (
            <p className="wrong" role="alert">
              <Sign kind="F" />
              {t('badKey', { message: trouble })}
            </p>
          )}
        </>
      ) : (
        <p className="doubt">{t('cannotSign')}</p>
      )}
      <p className="buttons">
        {able && (
          <Button type="submit" size="md">
            {t('signAndSend')}
          </Button>
        )}
        <Button variant="default" size="md" onClick={onLeave}>
          {t('back')}
        </Button>
      </p>
      <details open={!able}>
        <summary>{t('byCommand')}</summary>
        <Command line={orderLine(asked.act, by.trim(), site, asked.agents, window.location.origin)} />
      </details>
    </Form>
  );
}
