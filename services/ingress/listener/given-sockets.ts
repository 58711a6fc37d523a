/** Listening sockets that systemd, or this program before it changed its user, has opened: which listener each one is for. */
import type { ListenerConfig } from "../../../shared/config/schema.ts";
import { type Endpoint, formatEndpoint } from "../../../shared/net/endpoint.ts";
import { canonicalAddress } from "../../../shared/net/network.ts";
import { describeSocket } from "../../../shared/runtime/socket.ts";
import { CannotStart } from "../../../shared/runtime/start-failure.ts";

type Described = (Endpoint & { transparent: boolean }) | undefined;

/**
 * A socket belongs to the listener with its address and port; without such a listener, to one of its address with port 0,
 * in their order. All of them must be somebody's: on one that nobody accepts, clients would wait for ever.
 * @returns descriptors by the name of the listener
 * @throws CannotStart
 */
export function matchSockets(
  listeners: readonly Pick<ListenerConfig, "name" | "address" | "port" | "destination">[],
  descriptors: readonly number[],
  describe: (fd: number) => Described = describeSocket,
): Map<string, number> {
  const matched = new Map<string, number>();
  for (const fd of descriptors) {
    const socket = describe(fd);
    if (socket === undefined)
      throw new CannotStart(`the descriptor ${fd} that was handed over is no TCP socket`);
    const place = formatEndpoint(socket);
    const ofAddress = listeners.filter(({ address }) => canonicalAddress(address) === socket.address);
    const listener =
      ofAddress.find(({ port }) => port === socket.port) ??
      ofAddress.find(({ name, port }) => port === 0 && !matched.has(name));
    if (listener === undefined)
      throw new CannotStart(
        `a socket for ${place} was handed over, and no listener has this address and port`,
      );
    if (matched.has(listener.name)) throw new CannotStart(`two sockets for ${place} were handed over`);
    if (listener.destination === "tproxy" && !socket.transparent)
      throw new CannotStart(
        `listener ${listener.name} is for tproxy, and the socket that was handed over is not: its unit needs Transparent=yes`,
      );
    matched.set(listener.name, fd);
  }
  return matched;
}
