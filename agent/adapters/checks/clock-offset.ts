import { createSocket } from 'node:dgram';
import type { CheckObservation } from '../../core/health/check.ts';
import type { Containment } from '../connections/containment.ts';
import { answerWithin, seconds } from './connection.ts';
import { judged, measured, notKnown, type ProbeContext, reasonOf } from './probe.ts';
import { askProgram } from './program.ts';

const nobody = 'neither chronyc nor timedatectl answers';

/** Whether whoever keeps this box's clock says that it is in step: chrony first, then the kernel's own flag by systemd. */
export async function synchronisedProbe(
  context: ProbeContext,
  containment: Containment | undefined,
): Promise<CheckObservation> {
  const chrony = await chronyTracking(context, containment);
  if (chrony !== undefined) {
    if (chrony.leap === 'Not synchronised') return judged('crit', 'chrony: the clock is not synchronised');
    return judged('ok', `chrony: in step with ${chrony.source}, ${inWords(chrony.offsetSeconds)} off`);
  }
  const asked = await askProgram(
    'timedatectl',
    ['show', '--property=NTPSynchronized', '--property=NTP'],
    context,
    containment,
  );
  if (!asked.ok || asked.exit.code !== 0) return notKnown(`clock: ${nobody}`);
  const of = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(asked.exit.stdout.text)?.[1];
  if (of('NTPSynchronized') === 'yes') return judged('ok', 'the kernel says that the clock is synchronised');
  if (of('NTPSynchronized') === 'no') {
    const why = of('NTP') === 'no' ? ': no time service is switched on' : '';
    return judged('crit', `the kernel says that the clock is not synchronised${why}`);
  }
  return notKnown(`clock: ${nobody}`);
}

/**
 * How far this box's wall clock is off, in seconds, without sign. With a server: measured by one exchange of SNTP (RFC
 * 4330), which knows nothing better than that the way there took as long as the way back. Without: what chrony says.
 */
export async function offsetProbe(
  against: { readonly host: string; readonly port: number } | undefined,
  context: ProbeContext,
  containment: Containment | undefined,
): Promise<CheckObservation> {
  if (against === undefined) {
    const chrony = await chronyTracking(context, containment);
    if (chrony === undefined) return notKnown('clock: chronyc does not answer; name a server, { offset: host }');
    if (chrony.leap === 'Not synchronised') return notKnown('chrony: the clock is not synchronised');
    return offset(chrony.offsetSeconds, `by ${chrony.source}`);
  }
  const where = against.port === 123 ? against.host : `${against.host}:${against.port}`;
  try {
    const answer = await sntp(against.host, against.port, context);
    return typeof answer === 'string' ? notKnown(`${where}: ${answer}`) : offset(answer, `by ${where}`);
  } catch (error) {
    return notKnown(`${where}: ${reasonOf(error)}`);
  }
}

const offset = (value: number, by: string): CheckObservation =>
  measured(Number(Math.abs(value).toPrecision(4)), 's', 'offset', `clock ${inWords(value)} off ${by}`);

function inWords(value: number): string {
  const size = Math.abs(value);
  const shown = size < 1 ? `${Number((size * 1_000).toPrecision(3))} ms` : `${Number(size.toPrecision(4))} s`;
  return value < 0 ? `-${shown}` : shown;
}

interface Tracking {
  readonly source: string;
  readonly offsetSeconds: number;
  readonly leap: string;
}

/** `chronyc -c tracking`: one line of values parted by commas; a word that is no figure where one stands is no answer. */
async function chronyTracking(
  context: ProbeContext,
  containment: Containment | undefined,
): Promise<Tracking | undefined> {
  const asked = await askProgram('chronyc', ['-c', '-n', 'tracking'], context, containment);
  if (!asked.ok || asked.exit.code !== 0) return undefined;
  const fields = asked.exit.stdout.head.trim().split(',');
  const offsetSeconds = Number(fields[4]);
  const leap = fields[13];
  if (leap === undefined || fields[4] === '' || !Number.isFinite(offsetSeconds)) return undefined;
  return { source: fields[1] === '' ? (fields[0] ?? '?') : (fields[1] ?? '?'), offsetSeconds, leap };
}

/** Seconds from 1900, where NTP begins to count, to 1970. */
const ntpEpoch = 2_208_988_800;

/** One question to one server. The offset in seconds (positive: we are behind), or why the answer is none. */
function sntp(host: string, port: number, context: ProbeContext): Promise<number | string> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const within = answerWithin(context.timeoutMs);
    const answer = (value: number | string) => {
      clearTimeout(timer);
      context.signal.removeEventListener('abort', aborted);
      socket.close();
      resolve(value);
    };
    const timer = setTimeout(() => answer(`no answer in ${seconds(within)} s`), within);
    const aborted = () => answer('cancelled');
    context.signal.addEventListener('abort', aborted, { once: true });

    const question = Buffer.alloc(48);
    // Version 4, client. The stamp that we send comes back as "originate": an answer without it is not to us.
    question[0] = 0x23;
    let sentAt = 0;
    socket.once('error', (error) => answer(reasonOf(error)));
    socket.on('message', (message) => {
      const receivedAt = Date.now();
      if (message.length < 48 || !message.subarray(24, 32).equals(question.subarray(40, 48))) return;
      const mode = (message[0] ?? 0) & 7;
      const stratum = message[1] ?? 0;
      if (mode !== 4 && mode !== 5) return answer('it does not speak NTP');
      if ((message[0] ?? 0) >> 6 === 3 || stratum === 0 || stratum > 15) return answer('it is not synchronised itself');
      const theirs = (stamp(message, 32) + stamp(message, 40)) / 2;
      answer((theirs - (sentAt + receivedAt) / 2) / 1_000);
    });
    socket.connect(port, host, () => {
      sentAt = Date.now();
      const whole = Math.floor(sentAt / 1_000);
      question.writeUInt32BE((whole + ntpEpoch) % 2 ** 32, 40);
      question.writeUInt32BE(Math.floor(((sentAt - whole * 1_000) / 1_000) * 2 ** 32), 44);
      socket.send(question, (error) => {
        if (error) answer(reasonOf(error));
      });
    });
  });
}

/** Milliseconds since 1970. Its seconds overflow in 2036: what lies before 1970 belongs to the next era. */
function stamp(message: Buffer, at: number): number {
  const whole = message.readUInt32BE(at) - ntpEpoch;
  return (whole < 0 ? whole + 2 ** 32 : whole) * 1_000 + (message.readUInt32BE(at + 4) * 1_000) / 2 ** 32;
}

/** So long a jump of the clock is told. */
const rememberedMs = 600_000;
const mostRemembered = 64;

/** The two clocks of the box, milliseconds; tests bring their own. */
export type TwoClocks = () => { readonly wall: number; readonly monotonic: number };

/**
 * By how much the wall clock was set, in seconds: the largest step against the monotonic clock between two looks in the
 * last ten minutes. What a time service slews (at most 0.05 %) is no step. A box that slept shows its sleep as a step,
 * since its monotonic clock stood still meanwhile.
 */
export function createJumpProbe(
  clocks: TwoClocks = () => ({ wall: Date.now(), monotonic: performance.now() }),
): () => Promise<CheckObservation> {
  let last: ReturnType<TwoClocks> | undefined;
  const jumps: { readonly at: number; readonly seconds: number }[] = [];
  return async () => {
    const now = clocks();
    if (last !== undefined) {
      const elapsed = now.monotonic - last.monotonic;
      const step = now.wall - last.wall - elapsed;
      if (Math.abs(step) > Math.max(20, 0.001 * elapsed)) jumps.push({ at: now.monotonic, seconds: step / 1_000 });
    }
    last = now;
    while (jumps[0] !== undefined && (now.monotonic - jumps[0].at > rememberedMs || jumps.length > mostRemembered)) {
      jumps.shift();
    }
    const largest = jumps.reduce((most, one) => (Math.abs(one.seconds) > Math.abs(most) ? one.seconds : most), 0);
    const value = Number(Math.abs(largest).toPrecision(4));
    const text = value === 0 ? 'the clock ran straight' : `the clock was set by ${inWords(largest)}`;
    return measured(value, 's', 'jump', text);
  };
}
