import i18next from 'i18next';
import { initReactI18next } from 'react-i18next';
import { de } from './words/de.ts';
import { en } from './words/en.ts';
import { zh } from './words/zh.ts';

export const languages = { en: 'English', de: 'Deutsch', zh: '中文' } as const;
export type Language = keyof typeof languages;

const KEPT = 'millwright-language';

const isLanguage = (text: string | null | undefined): text is Language => text != null && text in languages;

const first = (): Language => {
  const kept = localStorage.getItem(KEPT);
  if (isLanguage(kept)) return kept;
  const asked = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find(isLanguage);
  return asked ?? 'en';
};

export const setLanguage = (language: Language): void => {
  localStorage.setItem(KEPT, language);
  void i18next.changeLanguage(language);
};

i18next.on('languageChanged', (language) => {
  document.documentElement.lang = language;
});

await i18next.use(initReactI18next).init({
  lng: first(),
  fallbackLng: 'en',
  keySeparator: false,
  nsSeparator: false,
  interpolation: { escapeValue: false },
  resources: { en: { translation: en }, de: { translation: de }, zh: { translation: zh } },
});
