/**
 * The whole picture as one agent sees it: `GET /v1/status`. It is what a person with a browser and no network beyond
 * this box gets, so it names things as the site file does and says why.
 */
export interface AgentStatus {
  readonly agent: string;
  readonly site: string;
  readonly version: string;
  readonly started_at: string;
  readonly pid: number;
  readonly boot: string;
  readonly bootCounter: number;
  readonly incarnation: number;
  readonly plan: { readonly version: number; readonly hash: string };
  /** The signed bundle in force here; undefined for an agent that was started without one. */
  readonly bundle?: BundleStatus | undefined;
  readonly members: readonly {
    readonly agent: string;
    readonly state: string;
    readonly incarnation: number;
    readonly connected: boolean;
  }[];
  readonly duties: readonly {
    readonly duty: string;
    readonly kind: string;
    readonly mine: boolean;
    readonly holder: string | undefined;
    readonly term: number;
    /** Why it could not run on this box the last time it was tried. */
    readonly lastFailure: string | undefined;
    /** Of an exclusive duty, as far as this agent votes on it or may carry it. */
    readonly lease?: LeaseStatus | undefined;
  }[];
  /** Cells in which this agent votes or may hold something. */
  readonly cells: readonly {
    readonly cell: string;
    readonly epoch: number;
    readonly voters: readonly string[];
    /** Of its own vote; undefined: it has none. */
    readonly vote: string | undefined;
    /**
     * What the voters know of former rights, which this agent's gateway needs before it lets anything pass; undefined
     * where it can hold nothing.
     */
    readonly floors: { readonly read: number; readonly needed: number; readonly done: boolean } | undefined;
    /** How many of its voters are in reach, as the membership sees it, and how many a majority is. */
    readonly majority: { readonly here: number; readonly needed: number; readonly missing: readonly string[] };
    /**
     * This vote lost its memory: how many others told it what they remember, how many it needs, and whether it has waited
     * so long that a person should look. Undefined: it has its memory, or no vote.
     */
    readonly rebirth: { readonly remember: number; readonly needed: number; readonly isStranded: boolean } | undefined;
    /** The site file's leases are not the ones that are spoken, and no epoch leads from one to the other. */
    readonly conflict: boolean;
  }[];
  /** By a person's order it gives its duties away and takes none; undefined when it does not. */
  readonly drain:
    | {
        /** When it ends by itself; undefined: when it is taken back, or at the next start. */
        readonly until: string | undefined;
        /** Duties that it still carries. */
        readonly remaining: readonly string[];
      }
    | undefined;
  /** Child processes of duties that this agent carries. */
  readonly processes: readonly {
    readonly duty: string;
    readonly pid: number | undefined;
    readonly running: boolean;
    readonly startedAt: string | undefined;
    readonly exit: string | undefined;
  }[];
  /** What `limits` of agent.yaml allow, what was spent (CPU over the last minute), and what is shed because of that. */
  readonly budget?: {
    /** Of one core. */
    readonly cpu: { readonly share: number | undefined; readonly limit: number | undefined };
    readonly memory: { readonly bytes: number; readonly limit: number | undefined };
    readonly shedding: { readonly level: number; readonly what: string };
  };
  /** Checks that this agent judges now. */
  readonly checks: readonly {
    readonly check: string;
    readonly status: string;
    readonly value: number | undefined;
    readonly unit: string | undefined;
    readonly text: string;
    readonly flapping: boolean;
    /** The thing that is down and explains it. */
    readonly behind?: string | undefined;
    /** Looked at more seldom, or not at all, to keep within the budget; undefined: as the site file says. */
    readonly shed?: string | undefined;
  }[];
  readonly models: readonly {
    readonly model: string;
    readonly state: string;
    readonly score: number | undefined;
    readonly threshold: number | undefined;
    /** What it holds its machine for, and what it foresees, in words; where it tells. */
    readonly class?: string | undefined;
    readonly forecast?: string | undefined;
    readonly trust?: ModelTrust | undefined;
  }[];
  /** Durable rows: they stand with the network away and after a restart. */
  readonly alarms: readonly {
    readonly alarm: string;
    readonly alarmId: string;
    readonly state: 'on' | 'off' | 'bad';
    readonly occurrence: string;
    readonly firstSampleAt: string;
    readonly since: string;
    readonly evidence: string;
    /** The thing that is down and explains it; the maintenance that holds it back. */
    readonly behind?: string | undefined;
    readonly held?: string | undefined;
  }[];
  /** Maintenance that holds now. */
  readonly maintenance?: readonly {
    readonly maintenance: string;
    readonly things: readonly string[];
    readonly why: string;
    /** Who ordered it, and until when (milliseconds since 1970); of the site file: nobody. */
    readonly by?: string | undefined;
    readonly until?: number | undefined;
  }[];
  readonly runs: readonly {
    readonly run: string;
    readonly workflow: string;
    readonly state: string;
    readonly outcome: string | undefined;
    readonly reason: string | undefined;
  }[];
  readonly coordinator: 'connected' | 'lost' | 'not-heard';
  /** What this agent thinks is the matter, and what that rests on; empty when nothing is. */
  readonly verdict: readonly {
    readonly class: 'gone' | 'segment' | 'link' | 'coordinator' | 'my-uplink' | 'i-am-slow' | 'i-am-cut';
    /** Agent or location, where the class has one. */
    readonly subject: string | undefined;
    /** Only of `gone`: its supervisor certified the death. */
    readonly proven: boolean | undefined;
    readonly since: string;
    readonly text: string;
    readonly evidence: readonly string[];
  }[];
  readonly outbox: {
    readonly pending: number;
    readonly lastSeq: number;
    readonly refused: number;
    /** Why it cannot keep everything now, in words. */
    readonly trouble: string | undefined;
  };
  readonly mesh: Readonly<Record<string, number>>;
  /** Requests to this API that were not let in: without the token, or no HTTP at all. */
  readonly api: { readonly refused: { readonly tokens: number; readonly malformed: number } } | undefined;
  readonly store: { readonly ok: boolean; readonly text: string };
  readonly memory: { readonly rssBytes: number };
  readonly cpuSeconds: number;
}

/** One model file on a seat: what it is and how it does. */
export interface LaneTrust {
  readonly file: string;
  /** `box`: trained on this box. */
  readonly from: 'site' | 'box';
  readonly version: string | undefined;
  readonly sha256: string | undefined;
  readonly state: string;
  readonly why: string | undefined;
  /** Scored since it came, and above the threshold. */
  readonly windows: number;
  readonly above: number;
  /** Share of settled windows above the threshold that nobody confirmed; undefined: too few to tell. */
  readonly falseAlarmRate: number | undefined;
  readonly settledWindows: number;
}

/** Why a model may be believed, or not. */
export interface ModelTrust {
  /** Since when the incumbent has its seat. */
  readonly since: string;
  readonly why: string;
  /** Highest share of false alarms. */
  readonly limit: number;
  readonly incumbent: LaneTrust | undefined;
  readonly shadow:
    | (LaneTrust & {
        readonly both: number;
        readonly neither: number;
        readonly onlyIncumbent: number;
        readonly onlyShadow: number;
        /** Share of windows in which both said the same. */
        readonly agreement: number | undefined;
      })
    | undefined;
  readonly previous: LaneTrust | undefined;
  /** What became of the last fit on this box: a shadow, or nothing and why. */
  readonly lastFit:
    | {
        readonly at: string;
        readonly outcome: 'shadow' | 'none';
        readonly file?: string | undefined;
        /** `rising`: the present model found the machine stranger and stranger in the rows. */
        readonly code?: string | undefined;
        readonly why?: string | undefined;
      }
    | undefined;
  readonly drift: {
    readonly state: 'unknown' | 'stable' | 'moved';
    readonly inputs: readonly {
      readonly name: string;
      readonly psi: number | undefined;
      /** Of the mean, in deviations of the training rows. */
      readonly shift: number;
      readonly mean: number;
      readonly moved: boolean;
    }[];
  };
}

/** Which bundle is in force, who else has it, and which ones were refused. */
export interface BundleStatus {
  readonly era: number;
  readonly version: number;
  readonly hash: string;
  /** The first eight bytes of the SHA-256 of the key that signed it, hex. */
  readonly signedBy: string | undefined;
  /** What this process was compiled from. */
  readonly running: { readonly era: number; readonly version: number };
  /** It waits for its turn to start anew with the bundle in force. */
  readonly startsAnew: boolean;
  /** Why a newer one that was seen is not taken yet. */
  readonly waiting: string | undefined;
  /** Whose keys are off the list. */
  readonly revoked: readonly string[];
  /** What the others said last. */
  readonly peers: readonly {
    readonly agent: string;
    readonly connected: boolean;
    readonly era: number | undefined;
    readonly version: number | undefined;
    readonly hash: string | undefined;
    readonly running: { readonly era: number; readonly version: number } | undefined;
  }[];
  /** The latest ones, oldest first. */
  readonly refused: readonly {
    /** Name of a peer, `inbox/FILE`, `push` or `start`. */
    readonly from: string;
    readonly reason: string;
    readonly text: string;
    readonly at: string;
    readonly count: number;
  }[];
}

/** The right to an exclusive duty, from this agent's seat. */
export interface LeaseStatus {
  readonly lease: string;
  readonly cell: string;
  readonly epoch: number;
  /** 16 hex digits; undefined: this agent neither holds nor tries for it. */
  readonly token: string | undefined;
  readonly session: string | undefined;
  readonly held: boolean;
  /** What is left of the window if nobody answers any more. */
  readonly leftMs: number;
  readonly voters: readonly {
    readonly agent: string;
    readonly answer: 'granted' | 'taken' | 'silent';
    readonly agoMs: number | undefined;
  }[];
  /** Whom this agent, as a voter, has promised it to. */
  readonly promisedTo: string | undefined;
  /** Its program would not end in time should this agent or its supervisor hang, and why; undefined: it would. */
  readonly unprotected: string | undefined;
}

/** Why a duty is where it is: `GET /v1/duties/{thing}/{name}`. */
export interface DutyExplanation {
  readonly duty: string;
  readonly exclusive: boolean;
  readonly critical: boolean;
  /** Who carries it, as far as this agent knows. */
  readonly holder: string | undefined;
  readonly term: number;
  readonly lease?: LeaseStatus | undefined;
  /** Who tries first stands first; who cannot be considered has no rank. */
  readonly candidates: readonly {
    readonly agent: string;
    readonly rank: number | undefined;
    readonly score: number;
    readonly eligible: boolean;
    readonly reason: string;
  }[];
  /** What else holds it where it is. */
  readonly remarks: readonly string[];
}
