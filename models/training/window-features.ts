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

/** The windows of W rows that end at each row from the W-th on: causal, overlapping, in order. */
export function* windowsOf(rows: readonly (readonly number[])[], width: number): Generator<Float32Array> {
  const channels = rows[0]?.length ?? 0;
  const flat = Float32Array.from(rows.flat());
  for (let end = width; end <= rows.length; end++) yield flat.slice((end - width) * channels, end * channels);
}
