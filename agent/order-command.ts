import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AgentDoor, ask, complain, reach } from './ask.ts';
import { err, ok, type Result } from './base/result.ts';
import { parseDuration } from './config/quantity.ts';
import { maintainMaxMs, maintainWhyMax, type Order, type OrderedAct, orderMaxLifeMs, signOrder } from './wire/order.ts';
import type { AgentStatus } from './wire/status.ts';

/** `millwright order VERB …`: exit code 0 done, 1 refused or out of reach, 2 wrong use. */
export interface OrderOptions extends AgentDoor {
  /** Private key of the person who orders. */
  readonly key: string;
  readonly by: string;
  /** Whom; the agent that is asked unless said. */
  readonly agent?: string | undefined;
  readonly site?: string | undefined;
  /** Why, of a maintenance. */
  readonly why?: string | undefined;
  /** Of a drain, or a maintenance. */
  readonly for?: string | undefined;
  /** How long it may be on its way. */
  readonly valid?: string | undefined;
  /** Base URL of a coordinator that carries it over the broker, with the file of its token. */
  readonly coordinator?: string | undefined;
  /** Only write it there: somebody else carries it. */
  readonly out?: string | undefined;
}

const validDefaultMs = 5 * 60_000;

export async function orderCommand(verb: string, name: string | undefined, options: OrderOptions): Promise<number> {
  const { json } = options;
  const what = actOf(verb, name, options);
  if (!what.ok) return complain(what.error, 2, json);
  const isCarried = options.coordinator !== undefined || options.out !== undefined;
  let { site, agent } = options;
  const door = isCarried ? undefined : reach(options);
  if (door?.ok === false) return complain(`${door.error}; or --coordinator URL, or --out FILE`, 2, json);
  if (door !== undefined) {
    const status = await ask<AgentStatus>(door.value, 'GET', '/v1/status');
    if (!status.ok) return complain(status.error, 1, json);
    site ??= status.value.site;
    agent ??= status.value.agent;
  }
  if (site === undefined || agent === undefined) {
    return complain('for whom? Say --site and --agent, where no agent is asked itself', 2, json);
  }
  const signed = signedOrder({ site, agent, what: what.value }, options);
  if (!signed.ok) return complain(signed.error, 2, json);
  const { bytes, order } = signed.value;
  const said = (how: string): number => {
    process.stdout.write(json ? `${JSON.stringify({ ok: true, how, ...order })}\n` : `${verb} for ${agent}: ${how}\n`);
    return 0;
  };
  if (options.out !== undefined) {
    try {
      writeFileSync(options.out, bytes, { mode: 0o600 });
    } catch (error) {
      return complain(`${options.out} cannot be written: ${(error as Error).message}`, 1, json);
    }
    return said(`signed, in ${options.out}, good until ${order.notAfter}`);
  }
  if (options.coordinator !== undefined) {
    let token: string;
    try {
      token = readFileSync(options.token ?? '', 'utf8').trim();
    } catch {
      return complain('--coordinator wants --token with the file of its token', 2, json);
    }
    const carried = await ask({ url: options.coordinator, token }, 'POST', '/api/v1/orders', bytes);
    return carried.ok
      ? said('on its way; the agent tells what became of it as an event')
      : complain(carried.error, 1, json);
  }
  if (door === undefined) return 2;
  const obeyed = await ask(door.value, 'POST', '/v1/orders', bytes);
  return obeyed.ok ? said('obeyed') : complain(obeyed.error, 1, json);
}

/** Signs an order of this moment; the error is for whoever typed the command. */
export function signedOrder(
  order: Pick<Order, 'site' | 'agent' | 'what'>,
  options: Pick<OrderOptions, 'key' | 'by' | 'valid'>,
): Result<{ readonly bytes: Uint8Array; readonly order: Order }, string> {
  const validMs = options.valid === undefined ? ok(validDefaultMs) : parseDuration(options.valid);
  if (!validMs.ok) return err(`--valid: ${validMs.error}`);
  if (validMs.value > orderMaxLifeMs) return err(`--valid: at most ${orderMaxLifeMs / 60_000}m`);
  let pem: string;
  try {
    pem = readFileSync(options.key, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return err(code === 'ENOENT' ? `there is no ${options.key}` : `${options.key} cannot be read: ${code}`);
  }
  const now = Date.now();
  const whole: Order = {
    ...order,
    by: options.by,
    id: randomBytes(16).toString('hex'),
    issuedAt: new Date(now).toISOString(),
    notAfter: new Date(now + validMs.value).toISOString(),
  };
  try {
    return ok({ bytes: signOrder(whole, pem), order: whole });
  } catch (error) {
    return err(`it cannot be signed with ${options.key}: ${(error as Error).message}`);
  }
}

function actOf(
  verb: string,
  name: string | undefined,
  { for: time, why }: Pick<OrderOptions, 'for' | 'why'>,
): Result<OrderedAct, string> {
  if (time !== undefined && verb !== 'drain' && verb !== 'maintain') {
    return err('--for goes with drain and maintain only');
  }
  switch (verb) {
    case 'drain': {
      const forMs = time === undefined ? ok(null) : parseDuration(time);
      return forMs.ok ? ok({ verb, forMs: forMs.value }) : err(`--for: ${forMs.error}`);
    }
    case 'undrain':
      return ok({ verb });
    case 'workflow':
      return name === undefined
        ? err('which workflow? Say thing/name as in the site file')
        : ok({ verb, workflow: name });
    case 'stop':
      return name === undefined ? err('which run? millwright status --json lists them') : ok({ verb, run: name });
    case 'maintain': {
      if (name === undefined) return err('what? Say the thing as in the site file');
      if (time === undefined || why === undefined || why === '') return err('maintain wants --for TIME and --why TEXT');
      const forMs = parseDuration(time);
      if (!forMs.ok) return err(`--for: ${forMs.error}`);
      if (forMs.value > maintainMaxMs) return err('--for: at most 7d; longer work stands in the site file');
      return ok({ verb, thing: name, forMs: forMs.value, why: why.slice(0, maintainWhyMax) });
    }
    case 'end-maintenance':
      return name === undefined ? err('of what? Say the thing as in the site file') : ok({ verb, thing: name });
    default:
      return err(`"${verb}" is no order: it is drain, undrain, workflow, stop, maintain or end-maintenance`);
  }
}
