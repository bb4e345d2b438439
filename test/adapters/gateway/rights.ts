/** A right as tests make it up: a token by its counter, a session by a letter. */
export interface Right {
  readonly lease: string;
  readonly token: string;
  readonly session: string;
}

export const rightOf = (counter: number, session = 'a'): Right => ({
  lease: 'duty:line/press-gateway',
  token: `0001${counter.toString(16).padStart(12, '0')}`,
  session: session.repeat(64),
});
