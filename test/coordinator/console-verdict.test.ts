import i18next from 'i18next';
import { beforeAll, describe, expect, it } from 'vitest';
import { describeEvidence, type Evidence } from '../../agent/core/verdict/statement.ts';
import { verdictFact } from '../../agent/status.ts';
import { verdictFactSchema } from '../../agent/wire/agent-status.ts';
import { factText } from '../../coordinator/console/source/verdict-words.ts';
import { de } from '../../coordinator/console/source/words/de.ts';
import { en } from '../../coordinator/console/source/words/en.ts';
import { zh } from '../../coordinator/console/source/words/zh.ts';

const name = (member: number): string => `box-${member}`;
const every: readonly Evidence[] = [
  { kind: 'unanswered', member: 6, rounds: 1, nacks: [] },
  { kind: 'unanswered', member: 6, rounds: 3, nacks: [] },
  { kind: 'unanswered', member: 6, rounds: 3, nacks: [4, 9] },
  { kind: 'told', member: 6 },
  { kind: 'certificate', member: 6 },
  { kind: 'reached-by-others', member: 6, rounds: 4, helpers: [2, 3] },
  { kind: 'silence', peers: 7, inside: 0 },
  { kind: 'silence', peers: 7, inside: 2 },
  { kind: 'uplinks', lost: 5, known: 8 },
  { kind: 'late-timers', count: 1, maxMs: 512.4 },
  { kind: 'late-timers', count: 2, maxMs: 130 },
];

describe('console: evidence of a verdict', () => {
  beforeAll(async () => {
    await i18next.init({
      lng: 'en',
      keySeparator: false,
      nsSeparator: false,
      interpolation: { escapeValue: false },
      resources: { en: { translation: en }, de: { translation: de }, zh: { translation: zh } },
    });
  });

  it.each(every.map((evidence) => [describeEvidence(evidence, name), evidence] as const))(
    '%s → in English as the box says it, in German and Chinese with the same names and figures',
    (own, evidence) => {
      const fact = verdictFactSchema.parse(verdictFact(evidence, name));
      expect(factText(i18next.getFixedT('en'), fact, 'own')).toBe(own);
      // A one is a word in some languages and a figure in others.
      const things = (text: string) => (text.match(/box-\d+|\d+/g) ?? []).filter((thing) => thing !== '1').sort();
      for (const language of ['de', 'zh']) {
        const text = factText(i18next.getFixedT(language), fact, 'own');
        expect(things(text)).toEqual(things(own));
        expect(text).not.toContain('{{');
        expect(text).not.toMatch(/\b(own|did|the|probes?|timers?|agents|answered)\b/);
      }
    },
  );

  it('words without facts, a kind of a later release, a piece that is missing → the box’s own words', () => {
    const t = i18next.getFixedT('de');
    expect(factText(t, null, 'own')).toBe('own');
    expect(factText(t, { kind: 'gremlins', member: 'box-1', n: 3 }, 'own')).toBe('own');
    expect(factText(t, { kind: 'unanswered', n: 3 }, 'own')).toBe('own');
    expect(factText(t, { kind: 'uplinks', n: 3 }, 'own')).toBe('own');
  });
});
