import { useTranslation } from 'react-i18next';
import { Choice } from './form.tsx';
import { type Language, languages, setLanguage } from './i18n.ts';

export function LanguageChoice() {
  const { t, i18n } = useTranslation();
  return (
    <Choice
      className="language"
      aria-label={t('language')}
      value={i18n.language}
      onText={(text) => setLanguage(text as Language)}
      data={Object.entries(languages).map(([value, label]) => ({ value, label }))}
    />
  );
}
