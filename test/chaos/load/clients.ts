/** Clients that send mail through every door until they are stopped. */
import { setTimeout as wait } from "node:timers/promises";
import { proxyV1 } from "../../support/proxy-header.ts";
import type { Addresses } from "../gateway/config.ts";
import type { Door } from "../history/events.ts";
import type { Recorder } from "../history/recorder.ts";
import { domains } from "../peers/domains.ts";
import type { Random } from "../random.ts";
import { makeMessage } from "./messages.ts";
import { openSession, sendMessage } from "./send.ts";

export interface Clients {
  /** Begins no more messages; resolves when the last client has heard its reply. */
  stop(): Promise<void>;
}

const clientCount = 12;

/** @param perSecond  messages of all clients together, roughly */
export function startClients(
  addresses: Addresses,
  recorder: Recorder,
  random: Random,
  perSecond: number,
): Clients {
  const stopping = new AbortController();
  let messages = 0;
  const run = async (own: Random): Promise<void> => {
    while (!stopping.signal.aborted) {
      const door = own.pick<Door>(["queued", "queued", "queued", "inline", "proxied", "intercepted"]);
      try {
        const session = await openSession(...doorOf(door, addresses, own));
        try {
          for (let left = own.between(1, 4); left > 0 && !stopping.signal.aborted; left--) {
            await sendMessage(session, makeMessage(messages++, door, own), recorder);
            await pause(own);
          }
        } finally {
          session.close();
        }
      } catch {
        // The session broke, as sessions do today: the next one.
        await pause(own);
      }
    }
  };
  const pause = (own: Random): Promise<void> =>
    wait((own.next() * 2 * clientCount * 1000) / perSecond, undefined, { signal: stopping.signal }).catch(
      () => {},
    );
  const running = Array.from({ length: clientCount }, (_, index) => run(random.fork(`client ${index}`)));
  return {
    async stop() {
      stopping.abort();
      await Promise.all(running);
    },
  };
}

/** Port, and the PROXY header that makes the gateway believe where the client meant to go. */
function doorOf(door: Door, at: Addresses, random: Random): [number, string?] {
  const client = { address: `192.0.2.${random.between(1, 250)}`, port: random.between(1024, 60_000) };
  const header = (domain: string): string =>
    proxyV1(client, { address: domains[domain]?.address ?? "", port: at.ports[domain] ?? 0 });
  switch (door) {
    case "proxied":
      return [at.proxyPort, header("moody.test")];
    case "intercepted":
      return [at.proxyPort, header("branch.test")];
    default:
      return [at.submissionPort];
  }
}
