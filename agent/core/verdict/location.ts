/** The agents of a plan, as far as their place matters. */
export interface PlacedAgents {
  readonly agents: readonly { readonly cell: string; readonly labels: ReadonlyMap<string, string> }[];
}

const known = new WeakMap<PlacedAgents, readonly string[]>();

/**
 * Where each agent stands: its label `location`, else `switch`, else its cell. What all share tells nothing, so it counts
 * as no place at all. Computed once per plan.
 */
export function locationsOf(plan: PlacedAgents): readonly string[] {
  let places = known.get(plan);
  if (places === undefined) {
    places = plan.agents.map(({ cell, labels }) => labels.get('location') ?? labels.get('switch') ?? cell);
    if (places.every((place) => place === places![0])) places = places.map(() => '');
    known.set(plan, places);
  }
  return places;
}
