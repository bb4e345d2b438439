import { NativeSelect } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import { type Language, languages, setLanguage } from './i18n.ts';

export function LanguageChoice() {
  const { t, i18n } = useTranslation();
  return (
    <NativeSelect
      className="language"
      aria-label={t('language')}
      value={i18n.language}
      onChange={(event) => setLanguage(event.currentTarget.value as Language)}
      data={Object.entries(languages).map(([value, label]) => ({ value, label }))}
    />
  );
}
