declare const brand: unique symbol;

/** A nominal type: a `Brand<string, 'AgentId'>` is a string that was checked once, at the boundary. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
