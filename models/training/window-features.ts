/** Variance that every window is granted, as a fraction of the channel's own spread: a still window is not −∞. */
export const stillness = 0.05;

/** Scaled values are cut here, so that a broken sensor gives a huge score and never an infinite one. */
export const reach = 1e6;

/** How raw rows become features: each channel is centred and scaled, then a window gives its mean and log-spread. */
export interface Scaling {
  /** Per channel, in its own unit. */
  readonly centre: readonly number[];
  /** Per channel, in its own unit, above zero. */
  readonly scale: readonly number[];
}

/**
 * Features of one window, shape [2C]: first the C means, then the C log-spreads ½·ln(variance + stillness²), both of
 * the scaled channels. The mean sees a level that moved, the log-spread a machine that shakes or stands still.
 *
 * `window` holds W rows of C channels, row by row.
 */
export function windowFeatures(window: ArrayLike<number>, scaling: Scaling): number[] {
  const channels = scaling.centre.length;
  const rows = window.length / channels;
  const features = new Array<number>(2 * channels);
  for (let c = 0; c < channels; c++) {
    const centre = scaling.centre[c] ?? 0;
    const scale = scaling.scale[c] ?? 1;
    let sum = 0;
    for (let r = 0; r < rows; r++) sum += scaled(window[r * channels + c] ?? 0, centre, scale);
    const level = sum / rows;
    let squares = 0;
    for (let r = 0; r < rows; r++) squares += (scaled(window[r * channels + c] ?? 0, centre, scale) - level) ** 2;
    features[c] = level;
    features[channels + c] = 0.5 * Math.log(squares / rows + stillness ** 2);
  }
  return features;
}

/** The windows of W rows that end at each row from the W-th on: causal, overlapping, in order. */
export function* windowsOf(rows: readonly (readonly number[])[], width: number): Generator<Float32Array> {
  const channels = rows[0]?.length ?? 0;
  const flat = Float32Array.from(rows.flat());
  for (let end = width; end <= rows.length; end++) yield flat.slice((end - width) * channels, end * channels);
}

const scaled = (value: number, centre: number, scale: number): number =>
  Math.min(reach, Math.max(-reach, (value - centre) / scale));
