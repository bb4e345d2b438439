/**
 * What an alarm's state is: a pure fold over the registers of its reporters and a grow-only set of acknowledgements.
 * Order of arrival decides nothing, so two coordinators that know the same agree, and a replay changes nothing.
 *
 * The winning register is the one of the highest term among those of good quality; equal terms are joined by OR
 * (twice raised is better than never). An agent that took the duty over has a higher term, so the silence of a dead
 * one neither clears nor holds anything.
 *
 * ISA-18.2, the process part: UNACK → ACKED by a person, UNACK → RTNUN when the condition goes, RTNUN → NORM by a
 * person, ACKED → NORM when the condition goes. Each raise is a new occurrence and must be acknowledged for itself.
 */
export type AlarmState = 'NORM' | 'UNACK' | 'ACKED' | 'RTNUN';

export interface AlarmRegister {
  readonly reporter: string;
  readonly term: number;
  /** As last told. */
  readonly state: 'on' | 'off' | 'bad';
  /** Last state of good quality; `bad` says that it cannot be judged now, not that it went. */
  readonly lastGood: 'on' | 'off';
  readonly occurrence: string;
}

export interface FoldedAlarm {
  readonly state: AlarmState;
  /** The occurrence that a person would acknowledge; empty when the alarm never stood. */
  readonly occurrence: string;
  readonly reporter: string;
  /** The winner cannot judge any more; the state is the last that was known. */
  readonly blind: boolean;
}

export const foldAlarm = (registers: readonly AlarmRegister[], acknowledged: ReadonlySet<string>): FoldedAlarm => {
  const good = registers.filter((r) => r.state !== 'bad');
  const pool = good.length > 0 ? good : registers;
  if (pool.length === 0) return { state: 'NORM', occurrence: '', reporter: '', blind: false };
  const top = Math.max(...pool.map((r) => r.term));
  const leaders = pool.filter((r) => r.term === top).sort((a, b) => (a.reporter < b.reporter ? -1 : 1));
  const standing = leaders.filter((r) => r.lastGood === 'on');
  const on = standing.length > 0;
  // Among several reporters the first by name speaks; an unacknowledged one goes first, so that none is hidden.
  const group = on ? standing : leaders;
  const voice = group.find((r) => !acknowledged.has(r.occurrence)) ?? group[0]!;
  const acked = voice.occurrence === '' || acknowledged.has(voice.occurrence);
  const state: AlarmState = on ? (acked ? 'ACKED' : 'UNACK') : acked ? 'NORM' : 'RTNUN';
  return { state, occurrence: voice.occurrence, reporter: voice.reporter, blind: good.length === 0 };
};
