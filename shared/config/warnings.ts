/** What a valid configuration asks for without any effect. Pure. */
import type { Finding } from "./config-error.ts";
import { whyNoAuth } from "./offers-auth.ts";
import type { Config } from "./schema.ts";
import { findShadowed } from "./shadowed.ts";

export function findWarnings(config: Config): Finding[] {
  return [...warnOfAuth(config), ...findShadowed(config)];
}

function warnOfAuth(config: Config): Finding[] {
  if (config.auth === undefined) return [];
  const obstacles = config.listeners.map((listener) => whyNoAuth(config, listener));
  const [first] = obstacles;
  if (first === undefined || obstacles.includes(undefined)) return [];
  return [{ path: ["auth"], message: `has no effect, nobody can log in: ${first}` }];
}
