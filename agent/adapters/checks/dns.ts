import { Resolver } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import type { CheckObservation } from '../../core/health/check.ts';
import type { ProbeOf } from '../../driver/bindings.ts';
import { answerWithin } from './connection.ts';
import { codeOf, judged, notKnown, type ProbeContext } from './probe.ts';

/**
 * Asks a name server for a name, past the box's own hosts file and caches. Good when there is an answer (the expected one,
 * if one is expected), with the time in milliseconds as value; a server that says that there is no such name, or
 * refuses, or is silent is bad.
 */
export async function dnsProbe(question: ProbeOf<'dns'>, context: ProbeContext): Promise<CheckObservation> {
  const { name, type, server, expect } = question;
  const within = answerWithin(context.timeoutMs);
  const resolver = new Resolver({ timeout: Math.max(1, Math.floor(within / 2)), tries: 1 });
  if (server !== undefined) {
    resolver.setServers([isIPv6(server.host) ? `[${server.host}]:${server.port}` : `${server.host}:${server.port}`]);
  }
  const by = server === undefined ? '' : ` by ${server.host}`;
  const timer = setTimeout(() => resolver.cancel(), within);
  const cancel = () => resolver.cancel();
  context.signal.addEventListener('abort', cancel, { once: true });
  const begun = performance.now();
  try {
    const answers = await ask(resolver, name, type);
    const ms = Math.ceil(performance.now() - begun);
    if (answers.length === 0) return judged('crit', `${name} has no ${type}${by}`);
    const shown = answers.slice(0, 4).join(', ');
    if (expect !== undefined && !answers.includes(expect)) {
      return judged('crit', `${name} is ${shown}${by}, not ${expect}`);
    }
    const perf = [{ label: 'time', value: ms, unit: 'ms', warn: undefined, crit: undefined, min: 0, max: undefined }];
    return { status: 'ok', value: ms, text: `${name} is ${shown}${by}, ${ms} ms`, perf };
  } catch (error) {
    const code = codeOf(error);
    switch (code) {
      case 'ENOTFOUND':
        return judged('crit', `there is no name ${name}${by}`);
      case 'ENODATA':
        return judged('crit', `${name} has no ${type}${by}`);
      case 'ESERVFAIL':
      case 'EREFUSED':
      case 'EFORMERR':
      case 'EBADRESP':
        return judged('crit', `the name server${by} refuses ${name} (${code})`);
      case 'ECONNREFUSED':
      case 'ETIMEOUT':
        return judged('crit', `no answer from the name server${by}`);
      case 'ECANCELLED':
        return context.signal.aborted ? notKnown('cancelled') : judged('crit', `no answer from the name server${by}`);
      default:
        return notKnown(`${name}: ${code ?? String(error)}`);
    }
  } finally {
    clearTimeout(timer);
    context.signal.removeEventListener('abort', cancel);
  }
}

async function ask(resolver: Resolver, name: string, type: ProbeOf<'dns'>['type']): Promise<string[]> {
  switch (type) {
    case 'A':
      return resolver.resolve4(name);
    case 'AAAA':
      return resolver.resolve6(name);
    case 'CNAME':
      return resolver.resolveCname(name);
    case 'MX':
      return (await resolver.resolveMx(name)).map((one) => one.exchange);
    case 'NS':
      return resolver.resolveNs(name);
    case 'PTR':
      return resolver.resolvePtr(name);
    case 'TXT':
      return (await resolver.resolveTxt(name)).map((parts) => parts.join(''));
  }
}
