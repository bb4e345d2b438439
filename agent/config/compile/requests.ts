import type { StepAction } from '../../core/remediation/workflow.ts';
import type { Path } from '../site-document.ts';
import type { Entry } from '../site-model.ts';
import type { SiteContext } from './context.ts';

type HttpRequest = Extract<StepAction, { kind: 'http.request' }>;

/** What the agent sets itself, or what would change whom the request goes to and how it is framed. */
const reserved = /^(host|content-length|transfer-encoding|connection|upgrade|expect|idempotency-key|millwright-.*)$/i;
/** RFC 9110 §5.6.2. */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/;
const secretive = /^(proxy-)?authorization$|^cookie$|(^|-)(key|secret|token|password)($|-)/i;
const maxBodyBytes = 65_536;

/** `http.request: { url: …, method: PUT, body: …, headers: … }`: one request that changes something. */
export function compileRequestStep(
  { findings }: SiteContext,
  entry: Entry<'workflows'>,
  below: Path,
  value: NonNullable<Entry<'workflows'>['value']['steps'][number]['http.request']>,
): HttpRequest {
  const wrong = (key: string, message: string): void => findings.of(entry.origin, [...below, key], 'value', message);
  const url = URL.parse(value.url);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    wrong('url', `"${value.url}" is no http address: say http://10.3.0.40/api/restart`);
  } else if (url.username !== '' || url.password !== '') {
    wrong('url', 'A password does not belong into an address: put it into a header, as env:NAME or file:/path');
  }
  const headers = Object.entries(value.headers ?? {});
  for (const [name, text] of headers) {
    if (!token.test(name)) wrong('headers', `"${name}" is no name of a header`);
    else if (reserved.test(name)) wrong('headers', `The header ${name} is set by the agent itself`);
    else if (!/^[\t\x20-\x7e\x80-\xff]{0,4096}$/.test(text)) wrong('headers', `${name} holds what no header can`);
    else if (secretive.test(name) && !/^(env|file):/.test(text)) {
      wrong('headers', `${name} looks like a secret: say env:NAME or file:/path, and keep it out of this file`);
    }
  }
  const body = value.body ?? '';
  if (Buffer.byteLength(body) > maxBodyBytes) wrong('body', `A body has at most ${maxBodyBytes} bytes`);
  return { kind: 'http.request', method: value.method ?? 'POST', url: value.url, body, headers };
}
