import { describeFault, type FaultEvent, named, signOf } from '../faults/fault.ts';
import { clock, px, textOf, ticks } from './markup.ts';
import type { Seen, Story } from './story.ts';

export interface TimelineNames {
  readonly agents: readonly string[];
  readonly duties: readonly string[];
}

const width = 1200;
const left = 132;
const right = 26;
const rowHeight = 15;
const band = 11;
/** More rows than this are no picture any more; those to whom something happened come first. */
const mostMembers = 80;
const mostDuties = 60;

/** How a moment of the run is called, and where it stands between left and right. */
interface Scale {
  readonly endMs: number;
  readonly name: (ms: number) => string;
}

const x = (scale: Scale, ms: number): number =>
  left + ((width - left - right) * Math.min(ms, scale.endMs)) / scale.endMs;

/** Members, as the others see them, with what was true of them; faults above. */
export function membersTimeline(story: Story, names: TimelineNames, scale: Scale): string {
  const rows = eventful(story, names.agents.length);
  const hidden = names.agents.length - rows.length;
  const top = 34;
  const height = top + rows.length * rowHeight + 24;
  const parts = [grid(scale, top, height - 22), ...faultMarks(story.faults, scale, top)];
  rows.forEach((member, index) => {
    const y = top + index * rowHeight + 2;
    parts.push(label(names.agents[member]!, y));
    parts.push(`<rect x="${left}" y="${y}" width="${width - left - right}" height="${band}" fill="var(--up)"/>`);
    parts.push(...shares(story.seen[member] ?? [], scale, y, names.agents[member]!));
    parts.push(...truths(story, member, scale, y));
  });
  const text = hidden > 0 ? `<p class="soft">${hidden} more to whom nothing happened are not drawn.</p>` : '';
  return `<div class="scroll">${svg(height, 'Members over time', parts)}</div>${text}`;
}

/** Who ran what, when: one row per duty, a bar per runner, and what nobody ran. */
export function dutiesTimeline(story: Story, names: TimelineNames, scale: Scale, settledMs: number): string {
  const byDuty = Map.groupBy(story.shifts, ({ duty }) => duty);
  const moved = (duty: number): number => byDuty.get(duty)?.length ?? 0;
  const rows = names.duties
    .map((_, duty) => duty)
    .toSorted((a, b) => moved(b) - moved(a) || a - b)
    .slice(0, mostDuties)
    .toSorted((a, b) => a - b);
  const top = 22;
  const height = top + rows.length * rowHeight + 24;
  const parts = [grid(scale, top, height - 22), ...faultMarks(story.faults, scale, top, false)];
  rows.forEach((duty, index) => {
    const y = top + index * rowHeight + 2;
    const shifts = byDuty.get(duty) ?? [];
    parts.push(label(names.duties[duty]!, y));
    for (const gap of gaps(shifts, settledMs, scale.endMs)) {
      parts.push(
        `<rect class="gap" x="${px(x(scale, gap.fromMs))}" y="${y + 3}" width="${px(Math.max(1.5, x(scale, gap.toMs) - x(scale, gap.fromMs)))}" height="${band - 6}" fill="var(--dead)"><title>${textOf(
          names.duties[duty]!,
        )}: nobody from ${scale.name(gap.fromMs)} for ${clock(gap.toMs - gap.fromMs)}</title></rect>`,
      );
    }
    const sorted = shifts.toSorted((a, b) => a.fromMs - b.fromMs);
    sorted.forEach((shift, n) => {
      const to = shift.toMs ?? scale.endMs;
      const who = names.agents[shift.agent]!;
      const title = `<title>${textOf(names.duties[duty]!)} on ${textOf(who)}, ${scale.name(shift.fromMs)} to ${scale.name(to)}</title>`;
      // Where two run it for a while, both are seen: the second takes the lower half until it is alone.
      const sharedUntil = Math.min(
        to,
        sorted.slice(0, n).reduce((last, { toMs }) => Math.max(last, toMs ?? scale.endMs), shift.fromMs),
      );
      const bar = (fromMs: number, toMs: number, isHalf: boolean): void => {
        if (toMs <= fromMs) return;
        const wide = Math.max(1, x(scale, toMs) - x(scale, fromMs));
        parts.push(
          `<rect class="shift" x="${px(x(scale, fromMs))}" y="${px(isHalf ? y + band / 2 : y)}" width="${px(wide)}" height="${px(isHalf ? band / 2 : band)}" rx="1.5" fill="var(--d${shift.agent % 7})">${title}</rect>`,
        );
        if (wide > who.length * 7 + 8 && !isHalf)
          parts.push(
            `<text x="${px(x(scale, fromMs) + 4)}" y="${y + 9}" style="fill:var(--onbar);font-size:9.5px;font-weight:600">${textOf(who)}</text>`,
          );
      };
      bar(shift.fromMs, sharedUntil, true);
      bar(sharedUntil, to, false);
    });
  });
  const hidden = names.duties.length - rows.length;
  const text = hidden > 0 ? `<p class="soft">${hidden} more that moved least are not drawn.</p>` : '';
  return `<div class="scroll">${svg(height, 'Duties over time', parts)}</div>${text}`;
}

/** Times in which nobody ran a duty, once it had ever been run or the site had settled. */
export function gaps(
  shifts: readonly { readonly fromMs: number; readonly toMs: number | undefined }[],
  settledMs: number,
  endMs: number,
): { readonly fromMs: number; readonly toMs: number }[] {
  const found: { fromMs: number; toMs: number }[] = [];
  let covered = Math.min(
    settledMs,
    shifts.reduce((first, { fromMs }) => Math.min(first, fromMs), settledMs),
  );
  for (const { fromMs, toMs } of shifts.toSorted((a, b) => a.fromMs - b.fromMs)) {
    if (fromMs > covered) found.push({ fromMs: covered, toMs: fromMs });
    covered = Math.max(covered, toMs ?? endMs);
  }
  if (covered < endMs) found.push({ fromMs: covered, toMs: endMs });
  return found;
}

const svg = (height: number, title: string, parts: readonly string[]): string =>
  `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}" style="min-width:900px">${parts.join('')}</svg>`;

const label = (name: string, y: number): string => {
  const short = name.length > 19 ? `${name.slice(0, 18)}…` : name;
  return `<text class="name" x="${left - 8}" y="${y + 10}" text-anchor="end">${textOf(short)}<title>${textOf(name)}</title></text>`;
};

function grid(scale: Scale, top: number, bottom: number): string {
  return ticks(scale.endMs, 10)
    .map((ms) => {
      const at = px(x(scale, ms));
      return `<line x1="${at}" x2="${at}" y1="${top}" y2="${bottom}" stroke="var(--grid)"/><text class="axis" x="${at}" y="${bottom + 16}" text-anchor="middle">${textOf(scale.name(ms))}</text>`;
    })
    .join('');
}

/** Stacked shares of those who hold a member suspect and dead; nothing is drawn over where all hold it alive. */
function shares(seen: readonly Seen[], scale: Scale, y: number, name: string): string[] {
  const parts: string[] = [];
  seen.forEach(({ atMs, alive, suspect, dead }, index) => {
    if (suspect + dead === 0) return;
    const all = alive + suspect + dead;
    const toMs = seen[index + 1]?.atMs ?? scale.endMs;
    const from = x(scale, atMs);
    const wide = px(Math.max(0.8, x(scale, toMs) - from));
    const [deadTall, suspectTall] = [(band * dead) / all, (band * suspect) / all];
    const title = `<title>${textOf(name)}, ${scale.name(atMs)}: ${alive} hold it alive, ${suspect} suspect, ${dead} dead</title>`;
    if (suspect > 0)
      parts.push(
        `<rect class="suspect" x="${px(from)}" y="${px(y + band - deadTall - suspectTall)}" width="${wide}" height="${px(suspectTall)}" fill="var(--suspect)">${title}</rect>`,
      );
    if (dead > 0)
      parts.push(
        `<rect class="dead" x="${px(from)}" y="${px(y + band - deadTall)}" width="${wide}" height="${px(deadTall)}" fill="var(--dead)">${title}</rect>`,
      );
  });
  return parts;
}

/** A line through the time in which a box was really down (full) or frozen (dotted). */
function truths(story: Story, member: number, scale: Scale, y: number): string[] {
  const truth = story.truth[member] ?? [];
  return truth.flatMap(({ atMs, is }, index) => {
    if (is === 'up') return [];
    const toMs = truth[index + 1]?.atMs ?? scale.endMs;
    const [from, to] = [x(scale, atMs), Math.max(x(scale, atMs) + 2, x(scale, toMs))];
    const dotted = is === 'frozen' ? ' stroke-dasharray="2 2"' : '';
    return `<line class="${is}" x1="${px(from)}" x2="${px(to)}" y1="${y + band / 2}" y2="${y + band / 2}" stroke="var(--${is === 'down' ? 'ink' : 'frozen'})" stroke-width="2.5"${dotted}><title>really ${is}: ${scale.name(atMs)} to ${scale.name(toMs)}</title></line>`;
  });
}

function faultMarks(faults: readonly FaultEvent[], scale: Scale, top: number, withSigns = true): string[] {
  let lastAt = Number.NEGATIVE_INFINITY;
  return faults.map((fault) => {
    const at = x(scale, fault.atMs);
    const isCrowded = at - lastAt < 9;
    if (!isCrowded) lastAt = at;
    const mark =
      withSigns && !isCrowded
        ? `<text x="${px(at)}" y="${top - 6}" text-anchor="middle" style="font-size:11px">${signOf(fault)}</text>`
        : '';
    return `<g class="fault"><title>${textOf(describeFault(fault))}</title><line x1="${px(at)}" x2="${px(at)}" y1="${top - 4}" y2="${top + 3}" stroke="var(--ink)"/>${mark}</g>`;
  });
}

/** Members to whom something happened, or whom somebody doubted; then others, as far as there is room. */
function eventful(story: Story, agents: number): number[] {
  const involved = new Set<number>();
  for (const fault of story.faults) {
    const boxes = named(fault);
    if (boxes.length <= 2) for (const box of boxes) involved.add(box);
  }
  for (let member = 0; member < agents; member++) {
    if ((story.truth[member]?.length ?? 0) > 2) involved.add(member);
    if (story.seen[member]?.some(({ suspect, dead }) => suspect + dead > 0)) involved.add(member);
  }
  const others = Array.from({ length: agents }, (_, member) => member).filter((member) => !involved.has(member));
  return [...involved, ...others].slice(0, mostMembers).toSorted((a, b) => a - b);
}
