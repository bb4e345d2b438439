import { type Order, orderAnswerSchema } from '../../agent/wire/order.ts';
import type { OrderView } from '../api/schemas.ts';

/**
 * Orders that were carried from here, and what became of them. The coordinator has no say in them: the agent obeys or
 * refuses, and its first answer counts (a copy that arrives later is refused as a repetition). In memory only: what an
 * order did is in the agents' reports and health, and who asked has its page open.
 */
export class Orders {
  readonly #orders = new Map<string, OrderView>();
  readonly #onChange: (order: OrderView) => void;

  constructor(onChange: (order: OrderView) => void) {
    this.#onChange = onChange;
  }

  /** Newest first. */
  list(limit: number): OrderView[] {
    return [...this.#orders.values()].reverse().slice(0, limit);
  }

  carried({ id, agent, by, what }: Order, at: number): void {
    const known = this.#orders.get(id);
    if (known !== undefined) return;
    const about = 'thing' in what ? what.thing : 'workflow' in what ? what.workflow : 'run' in what ? what.run : null;
    const order: OrderView = { id, agent, by, verb: what.verb, about, state: 'carried', reason: null, text: null, at, answeredAt: null }; // biome-ignore format: one record
    this.#orders.set(id, order);
    if (this.#orders.size > mostOrders) this.#orders.delete(this.#orders.keys().next().value ?? '');
    this.#onChange(order);
  }

  /** A message on `ack/<id>`; false: it is no answer of this agent to an order that was carried here. */
  answered(agent: string, payload: Buffer, at: number): boolean {
    if (payload.length > answerBytes) return false;
    let raw: unknown;
    try {
      raw = JSON.parse(payload.toString('utf8'));
    } catch {
      return false;
    }
    const answer = orderAnswerSchema.safeParse(raw);
    if (!answer.success) return false;
    const { id, ok, reason = null, text = null } = answer.data;
    const order = this.#orders.get(id);
    if (order === undefined || order.agent !== agent || order.state !== 'carried') return false;
    const told: OrderView = { ...order, state: ok ? 'obeyed' : 'refused', reason, text, answeredAt: at };
    this.#orders.set(id, told);
    this.#onChange(told);
    return true;
  }
}

/** People give some a day, to every agent of a site at once. */
const mostOrders = 5_000;
const answerBytes = 8_192;
