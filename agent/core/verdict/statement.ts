import type { AgentIndex } from '../../base/ids.ts';
import type { Instant } from '../../base/time.ts';

/** What went wrong, in the words of whom to send: to the box, the switch, the cable, the server, or nobody. */
export type VerdictClass = 'gone' | 'segment' | 'link' | 'coordinator' | 'my-uplink' | 'i-am-slow' | 'i-am-cut';

/**
 * One statement: a class, its subject, since when (first sign of it), and what it rests on. Dead and wholly isolated look
 * alike from here, so `gone` says "down, or unreachable by all"; only a death certificate makes it `proven`.
 */
export type Statement = { readonly since: Instant; readonly evidence: readonly Evidence[] } & (
  | { readonly class: 'gone'; readonly member: AgentIndex; readonly proven: boolean }
  | { readonly class: 'segment'; readonly location: string; readonly members: readonly AgentIndex[] }
  /** The direct path between us and `member` fails while another works. */
  | { readonly class: 'link'; readonly member: AgentIndex }
  | { readonly class: 'coordinator' | 'my-uplink' | 'i-am-slow' | 'i-am-cut' }
);

/** What a statement rests on. Lists of agents hold at most eight. */
export type Evidence =
  /** `rounds` probes in a row without a word; these helpers answered that they do not reach it either. */
  | {
      readonly kind: 'unanswered';
      readonly member: AgentIndex;
      readonly rounds: number;
      readonly nacks: readonly AgentIndex[];
    }
  /** Others verified it, said so, and nobody refuted. */
  | { readonly kind: 'told'; readonly member: AgentIndex }
  | { readonly kind: 'certificate'; readonly member: AgentIndex }
  /** `rounds` probes in a row failed directly and came through these. */
  | {
      readonly kind: 'reached-by-others';
      readonly member: AgentIndex;
      readonly rounds: number;
      readonly helpers: readonly AgentIndex[];
    }
  /** None of so many peers answered; `inside` ones of our own location did. */
  | { readonly kind: 'silence'; readonly peers: number; readonly inside: number }
  | { readonly kind: 'uplinks'; readonly lost: number; readonly known: number }
  | { readonly kind: 'late-timers'; readonly count: number; readonly maxMs: number };

/** What makes two statements the same one: class and subject. */
export function statementKey(statement: Statement): string {
  switch (statement.class) {
    case 'gone':
    case 'link':
      return `${statement.class}:${statement.member}`;
    case 'segment':
      return `segment:${statement.location}`;
    default:
      return statement.class;
  }
}

/** For people: what is the matter. `name` turns an index into the name in the site file. */
export function describeStatement(statement: Statement, name: (member: AgentIndex) => string): string {
  switch (statement.class) {
    case 'gone':
      return statement.proven
        ? `${name(statement.member)} is dead, proven by its certificate`
        : `${name(statement.member)} is down or unreachable by all`;
    case 'segment':
      return `${statement.location} is cut off or without power`;
    case 'link':
      return `the direct path to ${name(statement.member)} fails, others reach it`;
    case 'coordinator':
      return 'the coordinator is out of reach for most of us';
    case 'my-uplink':
      return 'this box alone lost the coordinator';
    case 'i-am-slow':
      return 'this box is too slow to judge others';
    case 'i-am-cut':
      return 'no peer answers this box: it is cut off';
  }
}

/** For people: why that is thought. */
export function describeEvidence(evidence: Evidence, name: (member: AgentIndex) => string): string {
  switch (evidence.kind) {
    case 'unanswered': {
      const tried = evidence.nacks.length === 0 ? '' : `, nor to ${evidence.nacks.map(name).join(', ')}`;
      const probes = evidence.rounds === 1 ? 'a probe' : `${evidence.rounds} probes in a row`;
      return `${name(evidence.member)} did not answer ${probes}${tried}`;
    }
    case 'told':
      return `${name(evidence.member)} was found unanswering by others and did not refute it`;
    case 'certificate':
      return `the supervisor of ${name(evidence.member)} released its death certificate`;
    case 'reached-by-others':
      return `${evidence.rounds} probes in a row came through ${evidence.helpers.map(name).join(', ')} only`;
    case 'silence':
      return evidence.inside === 0
        ? `none of ${evidence.peers} peers answered`
        : `none of ${evidence.peers} peers elsewhere answered, those of our own location do`;
    case 'uplinks':
      return `${evidence.lost} of ${evidence.known} agents in reach say that they lost it`;
    case 'late-timers':
      return evidence.count === 1
        ? `a timer came late by ${Math.round(evidence.maxMs)} ms`
        : `${evidence.count} timers came late, the worst by ${Math.round(evidence.maxMs)} ms`;
  }
}
