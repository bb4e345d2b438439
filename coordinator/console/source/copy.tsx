import { Button } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';

/** A command line to take to a terminal. Where the page may not use the clipboard, it marks the text instead. */
export function Command({ line }: { readonly line: string }) {
  const { t } = useTranslation();
  const [said, setSaid] = useState<'copied' | 'marked'>();
  const copy = async (element: HTMLElement): Promise<void> => {
    try {
      await navigator.clipboard.writeText(line);
      setSaid('copied');
    } catch {
      const code = element.closest('.command')?.querySelector('code');
      if (code != null) window.getSelection()?.selectAllChildren(code);
      setSaid('marked');
    }
  };
  return (
    <span className="command">
      <code>{line}</code>
      <Button variant="default" aria-label={t('copyOf', { line })} onClick={(event) => void copy(event.currentTarget)}>
        {t('copy')}
      </Button>
      <span className="muted" role="status">
        {said === undefined ? '' : t(said)}
      </span>
    </span>
  );
}
