/**
 * Two ways to refuse a client: one reply in place of the greeting, or the 554 session of `pickup.local: reject`.
 * Each owns the sockets that it is given.
 */
import type net from "node:net";
import type { Config } from "../../../shared/config/schema.ts";
import type { Live } from "../../../shared/runtime/live.ts";
import { makeReply, type Reply } from "../../../shared/smtp/reply.ts";

/** RFC 5321 §4.5.3.2 has clients wait for minutes; one that gets a single reply has no reason to stay. */
const refusedMs = 10_000;

/** Sends this reply in place of the greeting (RFC 5321 §3.8), and closes. */
export function refuseConnection(socket: net.Socket, reply: string | Buffer): void {
  const timer = setTimeout(() => socket.destroy(), refusedMs);
  socket.once("close", () => clearTimeout(timer));
  socket.end(reply);
  discardInput(socket);
}

const badSequence = makeReply(503, "5.5.1", "No mail is taken here, send QUIT");
const bye = makeReply(221, "2.0.0", "Bye");

/** A rejected client has no reason to stay: after this time, or so many commands, the connection is closed. */
const maxSessionMs = 30_000;
const maxCommands = 10;
/** Twice what RFC 5321 §4.5.3.1.4 gives a command. */
const maxLineOctets = 1024;

export interface Rejections {
  /** Greets with 554, then answers QUIT with 221 and all else with 503 (RFC 5321 §3.1). */
  rejectSession(socket: net.Socket): void;
  /** Cuts all sessions: no mail is lost. */
  close(): void;
}

export function createRejections(live: Live<Pick<Config, "hostname">>): Rejections {
  const open = new Set<net.Socket>();
  return {
    rejectSession(socket) {
      open.add(socket);
      socket.once("close", () => open.delete(socket));
      reject(socket, makeReply(554, "5.7.1", `${live.current.hostname} takes no mail from here`));
    },
    close() {
      for (const socket of open) socket.destroy();
    },
  };
}

function reject(socket: net.Socket, greeting: Reply): void {
  let commands = 0;
  let partialLine = "";
  const leave = (reply?: string) => {
    socket.off("data", readCommands);
    if (reply !== undefined) socket.write(reply);
    socket.end();
    discardInput(socket);
  };
  const readCommands = (chunk: Buffer) => {
    const lines = (partialLine + chunk.toString("latin1")).split("\n");
    partialLine = lines.pop() ?? "";
    for (const line of lines) {
      if (/^quit\s*$/i.test(line)) return leave(bye.wire);
      if (++commands > maxCommands) return leave();
      socket.write(badSequence.wire);
    }
    if (partialLine.length > maxLineOctets) leave();
  };
  const timer = setTimeout(() => socket.destroy(), maxSessionMs);
  socket.once("close", () => clearTimeout(timer));
  socket.once("end", () => socket.end());
  socket.on("data", readCommands);
  socket.write(greeting.wire);
  socket.resume();
}

/** Unread octets would turn our FIN into a reset, and the last reply would be lost. */
function discardInput(socket: net.Socket): void {
  socket.resume();
}
