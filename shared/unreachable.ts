/** Ends a switch over a union: a new kind makes the compiler point here. */
export function unreachable(value: never): never {
  throw new Error(`unexpected case: ${JSON.stringify(value)}`);
}
