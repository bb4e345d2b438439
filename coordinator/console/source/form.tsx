import { NativeSelect, type NativeSelectProps, TextInput, type TextInputProps } from '@mantine/core';
import type { FormEvent, ReactNode } from 'react';

/** A form that this page sends itself; Escape leaves it. */
export function Form({
  className,
  onSend,
  onLeave,
  children,
}: {
  readonly className?: string;
  readonly onSend: () => void;
  readonly onLeave?: () => void;
  readonly children: ReactNode;
}) {
  const send = (event: FormEvent): void => {
    event.preventDefault();
    onSend();
  };
  return (
    <form className={className} onSubmit={send} onKeyDown={(event) => event.key === 'Escape' && onLeave?.()}>
      {children}
    </form>
  );
}

interface Told {
  readonly value: string;
  readonly onText: (text: string) => void;
}

/** A line of text. */
export function TextField({ onText, ...rest }: Omit<TextInputProps, 'onChange'> & Told) {
  return <TextInput {...rest} onChange={(event) => onText(event.currentTarget.value)} />;
}

/** One of several. */
export function Choice({ onText, ...rest }: Omit<NativeSelectProps, 'onChange'> & Told) {
  return <NativeSelect {...rest} onChange={(event) => onText(event.currentTarget.value)} />;
}
