import type { AgentStatus } from '../../agent/wire/status.ts';

/** A deadline for every look: a story that waits for ever tells nothing. */
const requestTimeoutMs = 3_000;

/** GET or POST of JSON with a bearer token; the body on success, an error that quotes the answer otherwise. */
export async function call<T>(
  method: 'GET' | 'POST' | 'DELETE' | 'PUT',
  url: string,
  token: string,
  body?: unknown,
): Promise<T> {
  const response = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${new URL(url).pathname} → ${response.status} ${text.slice(0, 300)}`);
  return JSON.parse(text) as T;
}

export const agentStatus = (api: string, token: string): Promise<AgentStatus> =>
  call<AgentStatus>('GET', `${api}/v1/status`, token);

/** Looks until it holds, bounded; the last reason is in the error. Level-triggered: a missed moment is no failure. */
export async function until<T>(
  what: string,
  withinMs: number,
  look: () => Promise<T | undefined | false>,
  everyMs = 100,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  let last = 'not yet';
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms (${last})`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
