import { request } from 'node:http';
import { z } from 'zod';
import type { CheckObservation } from '../../core/health/check.ts';
import { answerWithin, seconds } from './connection.ts';
import { codeOf, judged, notKnown, type ProbeContext, reasonOf } from './probe.ts';

/** Where engines listen; podman speaks the same words as docker on its own socket. */
const usualSockets = ['/run/docker.sock', '/var/run/docker.sock', '/run/podman/podman.sock'] as const;
const mostBytes = 1_048_576;

/** Of the engine's answer to `GET /containers/NAME/json` only what is judged. */
const answerSchema = z.object({
  State: z.object({
    Status: z.string().max(100),
    ExitCode: z.number().optional(),
    OOMKilled: z.boolean().optional(),
    Error: z.string().optional(),
    Health: z
      .object({
        Status: z.string().max(100),
        FailingStreak: z.number().optional(),
        Log: z.array(z.object({ Output: z.string().optional() })).nullish(),
      })
      .nullish(),
  }),
  RestartCount: z.number().optional(),
});

/**
 * A container by name or id, asked of its engine over the engine's own socket, read-only. Running is good; with a health
 * check of its own that one's word counts. Paused, starting and restarting are a warning, all else is bad. An engine that
 * does not answer says nothing of the container: unknown.
 */
export async function containerProbe(
  name: string,
  socket: string | undefined,
  context: ProbeContext,
): Promise<CheckObservation> {
  let why = '';
  for (const path of socket === undefined ? usualSockets : [socket]) {
    const answer = await ask(path, `/containers/${encodeURIComponent(name)}/json`, context);
    if ('why' in answer) {
      // The next place; a refusal is more telling than that there is no such file.
      if (why === '' || !answer.absent) why = answer.why;
      continue;
    }
    if (answer.status === 404) return judged('crit', `there is no container ${name}`);
    if (answer.status !== 200) return notKnown(`container ${name}: its engine answers ${answer.status}`);
    return judge(name, answer.body);
  }
  return notKnown(`container ${name}: ${why}`);
}

function judge(name: string, body: string): CheckObservation {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return notKnown(`container ${name}: its engine does not answer in JSON`);
  }
  const parsed = answerSchema.safeParse(json);
  if (!parsed.success) return notKnown(`container ${name}: its engine's answer has no state`);
  const { State: state, RestartCount: restarts = 0 } = parsed.data;
  const again = restarts > 0 ? `, restarted ${restarts === 1 ? 'once' : `${restarts} times`}` : '';
  switch (state.Status) {
    case 'running': {
      const health = state.Health?.Status;
      if (health === 'unhealthy') {
        const said = state.Health?.Log?.at(-1)?.Output?.trim().split('\n')[0]?.slice(0, 300) ?? '';
        const streak = state.Health?.FailingStreak;
        const times = streak === undefined ? '' : ` for ${streak} checks`;
        return judged(
          'crit',
          `container ${name} runs, but calls itself unhealthy${times}${said === '' ? '' : `: ${said}`}`,
        );
      }
      if (health === 'starting') return judged('warn', `container ${name} runs and is not yet healthy${again}`);
      return judged('ok', `container ${name} runs${health === 'healthy' ? ' and is healthy' : ''}${again}`);
    }
    case 'paused':
    case 'restarting':
    case 'created':
      return judged('warn', `container ${name} is ${state.Status}${again}`);
    default: {
      const how =
        state.OOMKilled === true
          ? ', killed for lack of memory'
          : (state.Error ?? '') === ''
            ? ''
            : `: ${state.Error?.slice(0, 300)}`;
      const code = state.ExitCode === undefined ? '' : ` with code ${state.ExitCode}`;
      return judged('crit', `container ${name} is ${state.Status}${code}${how}`);
    }
  }
}

type Answer = { readonly status: number; readonly body: string } | { readonly why: string; readonly absent: boolean };

function ask(socketPath: string, path: string, context: ProbeContext): Promise<Answer> {
  return new Promise((resolve) => {
    let done = false;
    const answer = (value: Answer) => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      context.signal.removeEventListener('abort', aborted);
      resolve(value);
      call.destroy();
    };
    const within = answerWithin(context.timeoutMs);
    const timer = setTimeout(
      () => answer({ why: `no answer from ${socketPath} in ${seconds(within)} s`, absent: false }),
      within,
    );
    const aborted = () => answer({ why: 'cancelled', absent: false });
    context.signal.addEventListener('abort', aborted, { once: true });
    const call = request(
      { socketPath, path, headers: { host: 'localhost', connection: 'close' }, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > mostBytes) answer({ why: 'its engine answers more than 1 MB', absent: false });
          else chunks.push(chunk);
        });
        response.once('end', () =>
          answer({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
        );
        response.once('error', (error) => answer({ why: reasonOf(error), absent: false }));
      },
    );
    call.on('error', (error) => {
      const code = codeOf(error);
      const absent = code === 'ENOENT';
      const why = absent
        ? `no engine listens at ${socketPath}`
        : code === 'EACCES'
          ? `this agent may not use ${socketPath}`
          : reasonOf(error);
      answer({ why, absent });
    });
    call.end();
  });
}
