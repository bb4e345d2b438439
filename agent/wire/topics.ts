/**
 * The topics of Millwright's operations tree, `mw/1/<site>/…`, built and matched level by level. Comparing by level is
 * the point: with a comparison by prefix, agent `a1` could write below `a10`.
 *
 * ```
 * mw/1/<site>/<agent>/presence        retained, Will     mw/1/<site>/<agent>/log          QoS 1: the outbox stream
 * mw/1/<site>/<agent>/info            retained           mw/1/<site>/<agent>/cmd/<verb>   never retained
 * mw/1/<site>/<agent>/health          retained           mw/1/<site>/<agent>/ack/<corrId>
 * mw/1/<site>/<agent>/summary/<duty>  retained           mw/1/<site>/<agent>/alarm/<id>   retained cache
 * mw/1/<site>/coordinator/{presence,info}  retained      mw/1/<site>/coordinator/acked/<agent>  QoS 0
 * ```
 */

/** What one level of ours may be made of. */
const LEVEL = /^[A-Za-z0-9_.-]{1,64}$/;

/** The level that stands for the coordinator; no agent may carry this name. */
export const COORDINATOR = 'coordinator';

/** True for a text that may stand as one level of a topic: `[A-Za-z0-9_.-]{1,64}`. */
export const isLevel = (text: string): boolean => LEVEL.test(text);

/** A duty or alarm id (`press/poll`) as one level: a slash would open another, so it becomes a dot. */
export const asLevel = (id: string): string => id.replaceAll(/[^A-Za-z0-9_.-]/g, '.').slice(0, 64);

export interface AgentTopics {
  readonly presence: string;
  readonly info: string;
  readonly health: string;
  readonly log: string;
  /** Filter of all commands to this agent. */
  readonly commands: string;
  /** Where the coordinator acknowledges this agent's stream. */
  readonly acked: string;
  summary(duty: string): string;
  alarm(alarmId: string): string;
  /** Where the answer to an order goes. */
  ack(id: string): string;
}

const root = (site: string): string => `mw/1/${site}`;

/** The topics of one agent. Site and agent must be levels (`isLevel`); the configuration has checked that. */
export const agentTopics = (site: string, agent: string): AgentTopics => {
  const own = `${root(site)}/${agent}`;
  return {
    presence: `${own}/presence`,
    info: `${own}/info`,
    health: `${own}/health`,
    log: `${own}/log`,
    commands: `${own}/cmd/+`,
    acked: `${root(site)}/${COORDINATOR}/acked/${agent}`,
    summary: (duty) => `${own}/summary/${asLevel(duty)}`,
    alarm: (alarmId) => `${own}/alarm/${asLevel(alarmId)}`,
    ack: (id) => `${own}/ack/${asLevel(id)}`,
  };
};

export interface CoordinatorTopics {
  readonly presence: string;
  readonly info: string;
  acked(agent: string): string;
  /** Filters that the coordinator reads: everything said by agents, but not its own acknowledgements. */
  readonly listens: readonly string[];
}

export const coordinatorTopics = (site: string): CoordinatorTopics => ({
  presence: `${root(site)}/${COORDINATOR}/presence`,
  info: `${root(site)}/${COORDINATOR}/info`,
  acked: (agent) => `${root(site)}/${COORDINATOR}/acked/${agent}`,
  listens: [`${root(site)}/+/+`, `${root(site)}/+/summary/+`, `${root(site)}/+/alarm/+`, `${root(site)}/+/ack/+`],
});

/** What a topic says, once taken apart. */
export interface TopicParts {
  readonly site: string;
  /** Agent name, or `coordinator`. */
  readonly owner: string;
  readonly leaf: string;
  /** Rest after the leaf (`<duty>`, `<verb>`), undefined when there is none. */
  readonly rest: string | undefined;
}

/** Takes a topic of ours apart; undefined for anything of another shape. Never throws. */
export const parseTopic = (topic: string): TopicParts | undefined => {
  if (topic.length > 512) return undefined;
  const levels = topic.split('/');
  if (levels.length < 5 || levels.length > 6 || levels[0] !== 'mw' || levels[1] !== '1') return undefined;
  for (let i = 2; i < levels.length; i++) if (!isLevel(levels[i]!)) return undefined;
  return { site: levels[2]!, owner: levels[3]!, leaf: levels[4]!, rest: levels[5] };
};

/**
 * Does the filter `pattern` cover the filter or topic `asked`? Every topic that `asked` could match must be matched
 * by `pattern`. Anything that begins with `$` is never covered.
 */
export const covers = (pattern: string, asked: string): boolean => {
  if (asked.length === 0 || asked.length > 512 || asked.startsWith('$')) return false;
  const p = pattern.split('/');
  const a = asked.split('/');
  for (let i = 0; i < p.length; i++) {
    if (p[i] === '#') return i <= a.length;
    const level = a[i];
    if (level === undefined || level === '#') return false;
    if (p[i] === '+') continue;
    if (p[i] !== level) return false;
  }
  return p.length === a.length;
};

export type BrokerRole = 'agent' | 'coordinator' | 'viewer';

/** What a client of this name and role may write and read, as filters to be compared with `covers`. */
export const allowed = (
  site: string,
  name: string,
  role: BrokerRole,
): { readonly publish: readonly string[]; readonly subscribe: readonly string[] } => {
  const base = root(site);
  switch (role) {
    case 'agent':
      return {
        publish: [
          ...['presence', 'info', 'health', 'log'].map((leaf) => `${base}/${name}/${leaf}`),
          ...['summary', 'alarm', 'ack'].map((leaf) => `${base}/${name}/${leaf}/+`),
        ],
        subscribe: [
          `${base}/${name}/cmd/+`,
          `${base}/${COORDINATOR}/acked/${name}`,
          `${base}/${COORDINATOR}/presence`,
          `${base}/${COORDINATOR}/info`,
        ],
      };
    case 'coordinator':
      return {
        publish: [
          `${base}/${COORDINATOR}/presence`,
          `${base}/${COORDINATOR}/info`,
          `${base}/${COORDINATOR}/acked/+`,
          `${base}/+/cmd/+`,
        ],
        subscribe: [`${base}/#`],
      };
    case 'viewer':
      return { publish: [], subscribe: [`${base}/#`] };
  }
};
