import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { CheckObservation } from '../../core/health/check.ts';
import { answerWithin, connectionFailure, seconds } from './connection.ts';
import { codeOf, judged, notKnown, type ProbeContext } from './probe.ts';

/** Text is looked for in this much of a body; the rest is not read. */
const bodyBytes = 262_144;

/**
 * GET of one address on a connection of its own. Good: the wanted status (any from 200 to 399 when none is named) and,
 * when asked for, the text within the first 256 kB. Redirections are answers like others and are not followed.
 */
export function httpProbe(
  probe: { readonly url: string; readonly status: number | undefined; readonly contains: string | undefined },
  context: ProbeContext,
): Promise<CheckObservation> {
  let url: URL;
  try {
    url = new URL(probe.url);
  } catch {
    return Promise.resolve(notKnown(`"${probe.url}" is not an address`));
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return Promise.resolve(notKnown(`${url.protocol} is neither http: nor https:`));
  }
  const begun = performance.now();
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const options: RequestOptions = {
    agent: false,
    headers: { accept: '*/*', 'user-agent': 'millwright', connection: 'close' },
    maxHeaderSize: 65_536,
  };
  // Credentials in the address must not reach texts that people and the coordinator read.
  const shown = `${url.protocol}//${url.host}${url.pathname}`;

  return new Promise((resolve) => {
    let done = false;
    const answer = (observation: CheckObservation) => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      context.signal.removeEventListener('abort', aborted);
      resolve(observation);
      call.destroy();
    };
    const within = answerWithin(context.timeoutMs);
    const timer = setTimeout(() => answer(judged('crit', `no answer from ${shown} in ${seconds(within)} s`)), within);
    const aborted = () => answer(notKnown('cancelled'));
    context.signal.addEventListener('abort', aborted, { once: true });

    const call = request(url, options, (response) => {
      const status = response.statusCode ?? 0;
      const good = probe.status === undefined ? status >= 200 && status < 400 : status === probe.status;
      const took = () => `${Math.ceil(performance.now() - begun)} ms`;
      if (!good) {
        const wanted = probe.status === undefined ? '' : ` instead of ${probe.status}`;
        return answer(judged('crit', `${shown} answers ${status}${wanted}`));
      }
      if (probe.contains === undefined) return answer(judged('ok', `${shown} answers ${status}, ${took()}`));
      const wanted = probe.contains;
      const chunks: Buffer[] = [];
      let bytes = 0;
      const look = () => {
        const found = Buffer.concat(chunks).includes(wanted);
        if (found) return answer(judged('ok', `${shown} answers ${status} with "${wanted}", ${took()}`));
        const where = bytes >= bodyBytes ? ` in its first ${bodyBytes / 1024} kB` : '';
        return answer(judged('crit', `${shown} answers ${status} without "${wanted}"${where}`));
      };
      response.on('data', (chunk: Buffer) => {
        const taken = chunk.subarray(0, bodyBytes - bytes);
        chunks.push(taken);
        bytes += taken.length;
        if (bytes >= bodyBytes) look();
      });
      response.once('end', look);
      response.once('error', (error) => answer(connectionFailure(error, shown)));
      response.once('aborted', () => answer(judged('crit', `connection broken by ${shown}`)));
    });
    call.on('error', (error) => answer(failure(error, shown)));
    call.end();
  });
}

function failure(error: unknown, shown: string): CheckObservation {
  const code = codeOf(error) ?? '';
  if (code.startsWith('HPE_')) return judged('crit', `${shown} does not speak HTTP`);
  if (code.includes('CERT') || code.includes('SELF_SIGNED') || code.startsWith('ERR_TLS') || code === 'EPROTO') {
    return judged('crit', `${shown}: certificate or TLS not acceptable (${code})`);
  }
  return connectionFailure(error, shown);
}
