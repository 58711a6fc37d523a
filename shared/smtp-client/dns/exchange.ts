/** Sends one question to one name server, over UDP or TCP. Each exchange opens and closes its own socket. */
import dgram from "node:dgram";
import net from "node:net";
import type { HostPort } from "../../net/endpoint.ts";

export type Exchanged<T> =
  | { kind: "reply"; reply: T }
  | { kind: "timeout" }
  /** Connection refused, or a network error. */
  | { kind: "unreachable"; reason: string }
  /** This machine could not ask: it has no descriptors, buffers or memory left. */
  | { kind: "local"; reason: string };

/** Parses a message; `undefined` when it does not answer the question. */
export type Recognise<T> = (message: Buffer) => T | undefined;

/**
 * RFC 5452 §4: a new socket has a new random port, and a connected one accepts nothing from other addresses.
 * Messages that do not match are ignored until the time-out, since they may be forgeries sent ahead of the answer.
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
    // An answer counts that had arrived in time, but was not read because this process was busy.
    const timer = setTimeout(() => setImmediate(() => finish({ kind: "timeout" })), timeoutMs);
    // An ICMP "port unreachable" arrives as ECONNREFUSED on a connected socket, before the time-out.
    socket.on("error", (error) => finish(failureOf(error)));
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
    const timer = setTimeout(() => setImmediate(() => finish({ kind: "timeout" })), timeoutMs);
    socket.on("error", (error) => finish(failureOf(error)));
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

const localErrors: Record<string, string> = {
  EMFILE: "this process has too many files open",
  ENFILE: "this machine has too many files open",
  ENOBUFS: "this machine has no buffers left",
  ENOMEM: "this machine has no memory left",
};

function failureOf(error: Error): { kind: "unreachable" | "local"; reason: string } {
  const { code = "" } = error as NodeJS.ErrnoException;
  const reason = localErrors[code];
  if (reason !== undefined) return { kind: "local", reason };
  return { kind: "unreachable", reason: code === "" ? error.message : code };
}
