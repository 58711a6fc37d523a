/** Whether clients of a listener can log in. Pure. */
import type { Config, ListenerConfig } from "./schema.ts";

/** @returns why not, as a sentence about the listener; `undefined` when AUTH is offered */
export function whyNoAuth(config: Config, listener: ListenerConfig): string | undefined {
  if (config.auth === undefined) return "auth is not configured";
  if (!listener.auth) return `auth is false at listener ${listener.name}`;
  return (listener.tls ?? config.tls) === undefined
    ? `listener ${listener.name} has no certificate, and AUTH is offered under TLS only`
    : undefined;
}
