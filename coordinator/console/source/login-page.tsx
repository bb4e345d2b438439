import { Button, PasswordInput } from '@mantine/core';
import { useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { CallError, client } from './client.ts';
import { Form } from './form.tsx';
import { LanguageChoice } from './language-choice.tsx';
import { startLive } from './live.ts';

/**
 * A link may carry the token behind `#token=`: a fragment never reaches any server or log. It is taken out of the
 * address before anything else happens, so that a shared link gives nothing away.
 */
export const logInWithFragment = async (): Promise<boolean> => {
  const token = new URLSearchParams(window.location.hash.slice(1)).get('token');
  if (token === null) return false;
  window.history.replaceState(null, '', window.location.pathname + window.location.search);
  // A wrong one shows the login page, as no token does.
  return client.logIn(token).then(
    () => true,
    () => false,
  );
};

export function LoginPage() {
  const { t } = useTranslation();
  const [token, setToken] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  // Such a link opened over this very page changes nothing but the fragment.
  useEffect(() => {
    const onHash = (): void => void logInWithFragment().then((done) => done && startLive());
    window.addEventListener('hashchange', onHash);
    return () => window.removeEventListener('hashchange', onHash);
  }, []);
  const logIn = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await client.logIn(token.trim());
      startLive();
    } catch (failure) {
      const status = failure instanceof CallError ? failure.status : 0;
      setError(t(status === 401 ? 'wrongToken' : status === 429 ? 'tooManyLogins' : 'noCoordinator'));
      setBusy(false);
    }
  };
  return (
    <main className="login" id="content">
      <Form onSend={() => void logIn()}>
        <p className="brand">Millwright</p>
        <h1>{t('loginTitle')}</h1>
        <p className="muted">{t('loginText')}</p>
        <PasswordInput
          label={t('token')}
          size="md"
          value={token}
          onChange={(event) => setToken(event.currentTarget.value)}
          error={error}
          autoComplete="current-password"
          maxLength={512}
          visibilityToggleButtonProps={{ 'aria-label': t('showToken') }}
          autoFocus
          required
        />
        <Button type="submit" size="md" fullWidth loading={busy}>
          {t('logIn')}
        </Button>
        <LanguageChoice />
      </Form>
    </main>
  );
}
