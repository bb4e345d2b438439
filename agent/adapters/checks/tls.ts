import type { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { CheckObservation } from '../../core/health/check.ts';
import type { ProbeOf } from '../../driver/bindings.ts';
import { connectionFailure, observeSocket, placeOf } from './connection.ts';
import { codeOf, judged, notKnown, type ProbeContext, reasonOf } from './probe.ts';

/** A chain that is longer than this is not looked at further. */
const longestChain = 8;

/**
 * Seconds until the first certificate of a server's chain ends, as value. Ended, or not valid yet, is bad by itself. With
 * `trusted` the name and the chain are judged too; without, a certificate of the plant's own making is as good as any, and
 * only its end matters. The connection is closed after the handshake, without a byte.
 */
export async function tlsProbe(question: ProbeOf<'tls'>, context: ProbeContext): Promise<CheckObservation> {
  const { host, port } = question;
  const where = placeOf(host, port);
  let ca: string | undefined;
  if (question.ca !== undefined) {
    try {
      ca = await readFile(question.ca, 'utf8');
    } catch (error) {
      return notKnown(`${question.ca} cannot be read: ${codeOf(error) ?? reasonOf(error)}`);
    }
  }
  const name = question.name ?? host;
  const socket = connect({
    host,
    port,
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(ca === undefined ? {} : { ca }),
    rejectUnauthorized: false,
  });
  const listen = (answer: (observation: CheckObservation) => void): void => {
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) return answer(judged('crit', `${where} shows no certificate`));
    const why = socket.authorizationError;
    answer(judge(where, leaf, question.trusted && !socket.authorized ? String(why) : undefined));
  };
  return observeSocket(
    socket,
    where,
    context,
    (_socket, answer) => socket.once('secureConnect', () => listen(answer)),
    failure,
  );
}

function failure(error: Error, where: string): CheckObservation {
  const code = codeOf(error) ?? '';
  const foreign = code === 'EPROTO' || code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS');
  return foreign ? judged('crit', `${where} does not speak TLS (${code})`) : connectionFailure(error, where);
}

function judge(where: string, leaf: X509Certificate, distrust: string | undefined): CheckObservation {
  let first = leaf;
  let one: X509Certificate | undefined = leaf;
  for (let depth = 0; one !== undefined && depth < longestChain; depth++) {
    if (one.validToDate < first.validToDate) first = one;
    const issuer: X509Certificate | undefined = one.issuerCertificate;
    one = issuer === undefined || issuer.fingerprint256 === one.fingerprint256 ? undefined : issuer;
  }
  const now = Date.now();
  const left = Math.round((first.validToDate.getTime() - now) / 1_000);
  const whose = first === leaf ? '' : ` of ${first.subject.replaceAll('\n', ', ').slice(0, 200)}`;
  const perf = [
    { label: 'left', value: left, unit: 's', warn: undefined, crit: undefined, min: undefined, max: undefined },
  ];
  const until = first.validToDate.toISOString().slice(0, 10);
  if (left <= 0) return { status: 'crit', value: left, text: `certificate${whose} at ${where} ended ${until}`, perf };
  if (leaf.validFromDate.getTime() > now) {
    const text = `certificate at ${where} is valid from ${leaf.validFromDate.toISOString().slice(0, 10)} on only`;
    return { status: 'crit', value: left, text, perf };
  }
  if (distrust !== undefined) {
    return { status: 'crit', value: left, text: `certificate at ${where} is not trusted: ${distrust}`, perf };
  }
  const days = Math.floor(left / 86_400);
  const text = `certificate${whose} at ${where} ends ${until}, in ${days > 0 ? `${days} days` : `${Math.floor(left / 3_600)} h`}`;
  return { status: 'ok', value: left, text, perf };
}
