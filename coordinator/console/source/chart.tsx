import 'uplot/dist/uPlot.min.css';
import { useComputedColorScheme } from '@mantine/core';
import { useEffect, useRef } from 'react';
import UPlot from 'uplot';
import { type Line, type Mark, rangeOf } from './evidence-curves.ts';

/**
 * One curve over time: line, limits, and the moment of the alarm; shaded where nothing was heard or what came was bad.
 * It is for the eye. What it shows is said beside it in words, and the pointer that goes through it is moved by a slider
 * that the keyboard reaches.
 */
export interface ChartProps {
  readonly line: Line;
  readonly marks: readonly Mark[];
  readonly span: readonly [number, number];
  /** The last one of a stack has the times. */
  readonly withTimes: boolean;
  readonly label: string;
  readonly moment: number | undefined;
  readonly onMoment: (x: number) => void;
  readonly timeText: (x: number) => string;
  readonly numberText: (value: number) => string;
}

const height = 92;
const timesHeight = 26;
const axisWidth = 58;

export function Chart({ line, marks, span, withTimes, label, moment, onMoment, timeText, numberText }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot>(undefined);
  const scheme = useComputedColorScheme('light');
  const tell = useRef(onMoment);
  tell.current = onMoment;

  // The colours are read when it is made, so another scheme makes it anew.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the scheme is read through the page's styles
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const { range, drawn } = rangeOf(line, marks);
    const colour = (name: string): string => getComputedStyle(element).getPropertyValue(name).trim();
    const none = () => null;
    const made = new UPlot(
      {
        width: element.clientWidth || 300,
        height: height + (withTimes ? timesHeight : 0),
        padding: [6, 26, withTimes ? 0 : 6, 0],
        legend: { show: false },
        // The pointer is moved by what stands below, so that finger, mouse and keyboard do the same.
        cursor: {
          y: false,
          drag: { x: false, y: false },
          points: { size: 7 },
          bind: { mousedown: none, mouseup: none, click: none, dblclick: none, mousemove: none, mouseleave: none, mouseenter: none }, // biome-ignore format: one list
        },
        scales: { x: { time: false, range: [span[0], span[1]] }, y: { range } },
        axes: [
          {
            show: withTimes,
            size: timesHeight,
            stroke: colour('--muted'),
            font: '12px system-ui, sans-serif',
            grid: { show: false },
            ticks: { stroke: colour('--line'), width: 1, size: 4 },
            space: 76,
            incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200],
            values: (_, splits) => splits.map(timeText),
          },
          {
            size: axisWidth,
            stroke: colour('--muted'),
            font: '12px system-ui, sans-serif',
            grid: { stroke: colour('--line'), width: 1 },
            ticks: { show: false },
            space: 34,
            values: (_, splits) => splits.map(numberText),
          },
        ],
        series: [
          {},
          {
            stroke: (u) => strokeOf(u, drawn, colour('--curve'), colour('--wrong')),
            width: 1.6,
            points: { show: false },
            spanGaps: false,
          },
        ],
        hooks: {
          drawClear: [(u) => drawShades(u, line, colour('--gap'), colour('--gap-line'))],
          draw: [
            (u) => {
              for (const mark of drawn) {
                const y = u.valToPos(mark.value, 'y', true);
                stroke(u, colour(mark.kind === 'warn' ? '--limit-warn' : '--wrong'), [6, 4], [u.bbox.left, y], [u.bbox.left + u.bbox.width, y]); // biome-ignore format: one line on the screen
              }
              const x = u.valToPos(0, 'x', true);
              stroke(u, colour('--text'), [], [x, u.bbox.top], [x, u.bbox.top + u.bbox.height]);
            },
          ],
        },
      },
      [[...line.xs], [...line.ys]],
      element,
    );
    plot.current = made;
    const onPointer = (event: PointerEvent): void => {
      const { left } = made.over.getBoundingClientRect();
      tell.current(Math.min(span[1], Math.max(span[0], made.posToVal(event.clientX - left, 'x'))));
    };
    made.over.addEventListener('pointermove', onPointer);
    made.over.addEventListener('pointerdown', onPointer);
    const resized = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && width !== made.width) made.setSize({ width, height: made.height });
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [line, marks, span, withTimes, timeText, numberText, scheme]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a chart that was made anew takes the pointer up again
  useEffect(() => {
    const made = plot.current;
    if (made === undefined) return;
    if (moment === undefined) made.setCursor({ left: -10, top: -10 }, false);
    else made.setCursor({ left: made.valToPos(moment, 'x'), top: 1 }, false);
  }, [moment, line, marks, span, scheme]);

  return <div className="chart" ref={place} role="img" aria-label={label} />;
}

/** In the colour of what is wrong beyond the worst limit, and only there. */
const strokeOf = (u: UPlot, marks: readonly Mark[], calm: string, wrong: string): CanvasGradient | string => {
  const { top, height: tall } = u.bbox;
  const worst = marks.find(({ kind }) => kind !== 'warn') ?? marks[0];
  if (worst === undefined || tall <= 0) return calm;
  const at = Math.min(1, Math.max(0, (u.valToPos(worst.value, 'y', true) - top) / tall));
  const gradient = u.ctx.createLinearGradient(0, top, 0, top + tall);
  const [above, below] = worst.side === 'above' ? [wrong, calm] : [calm, wrong];
  gradient.addColorStop(0, above);
  gradient.addColorStop(at, above);
  gradient.addColorStop(at, below);
  gradient.addColorStop(1, below);
  return gradient;
};

type Place = readonly [x: number, y: number];

const stroke = ({ ctx }: UPlot, colour: string, dash: number[], from: Place, to: Place): void => {
  const ratio = window.devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1.4 * ratio;
  ctx.setLineDash(dash.map((length) => length * ratio));
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
  ctx.restore();
};

/** A plain ground where nothing was heard, a hatched one where what came was bad. */
const drawShades = (u: UPlot, { shades }: Line, ground: string, hatch: string): void => {
  const { ctx, bbox } = u;
  const ratio = window.devicePixelRatio;
  for (const { kind, from, to } of shades) {
    const left = Math.max(bbox.left, u.valToPos(from, 'x', true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos(to, 'x', true));
    if (right <= left) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, right - left, bbox.height);
    ctx.clip();
    ctx.fillStyle = ground;
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    if (kind === 'bad') {
      ctx.strokeStyle = hatch;
      ctx.lineWidth = ratio;
      ctx.beginPath();
      for (let x = left - bbox.height; x < right; x += 7 * ratio) {
        ctx.moveTo(x, bbox.top + bbox.height);
        ctx.lineTo(x + bbox.height, bbox.top);
      }
      ctx.stroke();
    }
    ctx.restore();
  }
};
