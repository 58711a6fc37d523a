/** One question to one name server, over UDP or TCP. Each exchange opens a socket of its own and closes it. */
import dgram from "node:dgram";
import net from "node:net";
import type { HostPort } from "../../net/endpoint.ts";

export type Exchanged<T> =
  | { kind: "reply"; reply: T }
  | { kind: "timeout" }
  /** Nobody listens there, or the network says no. */
  | { kind: "unreachable"; reason: string };

/** What a datagram or message must be to count as the answer; `undefined` for what answers something else. */
export type Recognise<T> = (message: Buffer) => T | undefined;

/**
 * RFC 5452 §4: a fresh socket is a fresh random port, and a connected one takes nothing from other addresses.
 * What is not recognised is ignored until the time is up: it may be a forgery that came before the answer.
 */
export function exchangeUdp<T>(
  server: HostPort,
  query: Buffer,
  recognise: Recognise<T>,
  timeoutMs: number,
): Promise<Exchanged<T>> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket(net.isIPv6(server.host) ? "udp6" : "udp4");
    let over = false;
    const finish = (result: Exchanged<T>) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => finish({ kind: "timeout" }), timeoutMs);
    // An ICMP "port unreachable" arrives as ECONNREFUSED on the connected socket: no need to wait for the time-out.
    socket.on("error", (error) => finish({ kind: "unreachable", reason: reasonOf(error) }));
    socket.on("message", (message) => {
      const reply = recognise(message);
      if (reply !== undefined) finish({ kind: "reply", reply });
    });
    socket.on("connect", () => {
      if (!over) socket.send(query);
    });
    socket.connect(server.port, server.host);
  });
}

/** RFC 7766 §8: a two-octet length, then the message; the whole exchange has one deadline. */
export function exchangeTcp<T>(
  server: HostPort,
  query: Buffer,
  recognise: Recognise<T>,
  timeoutMs: number,
): Promise<Exchanged<T>> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: server.host, port: server.port });
    let received: Buffer = Buffer.alloc(0);
    const finish = (result: Exchanged<T>) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish({ kind: "timeout" }), timeoutMs);
    socket.on("error", (error) => finish({ kind: "unreachable", reason: reasonOf(error) }));
    socket.on("close", () => finish({ kind: "unreachable", reason: "the connection was closed early" }));
    socket.on("connect", () => {
      const framed = Buffer.allocUnsafe(query.length + 2);
      framed.writeUInt16BE(query.length);
      query.copy(framed, 2);
      socket.write(framed);
    });
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2) return;
      const length = received.readUInt16BE();
      if (received.length < length + 2) return;
      const reply = recognise(received.subarray(2, length + 2));
      if (reply === undefined) finish({ kind: "unreachable", reason: "the answer is to another question" });
      else finish({ kind: "reply", reply });
    });
  });
}

function reasonOf(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}
