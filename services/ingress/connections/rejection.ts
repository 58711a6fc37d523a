/** Sessions for clients that `pickup.local: reject` turns away, as RFC 5321 §3.1 wants them. Owns the sockets it takes. */
import type net from "node:net";
import { makeReply, type Reply } from "../../../shared/smtp/reply.ts";

const badSequence = makeReply(503, "5.5.1", "No mail is taken here, send QUIT");
const bye = makeReply(221, "2.0.0", "Bye");

/** A client that was refused has no reason to stay: so long, or so many commands, and the connection is closed. */
const patienceMs = 30_000;
const patienceCommands = 10;
/** Twice what RFC 5321 §4.5.3.1.4 gives a command. */
const maxLineOctets = 1024;

export interface Rejections {
  /** Says 554 in place of the greeting, then waits for QUIT and answers all else with 503. */
  take(socket: net.Socket): void;
  /** Ends them all: nobody loses anything. */
  close(): void;
}

export function createRejections(hostname: string): Rejections {
  const greeting = makeReply(554, "5.7.1", `${hostname} takes no mail from here`);
  const open = new Set<net.Socket>();
  return {
    take(socket) {
      open.add(socket);
      socket.once("close", () => open.delete(socket));
      reject(socket, greeting);
    },
    close() {
      for (const socket of open) socket.destroy();
    },
  };
}

function reject(socket: net.Socket, greeting: Reply): void {
  let commands = 0;
  let line = "";
  const leave = (reply?: string) => {
    socket.off("data", read);
    if (reply !== undefined) socket.write(reply);
    socket.end();
    // Unread octets would turn our FIN into a reset, and the reply would be lost.
    socket.resume();
  };
  const read = (chunk: Buffer) => {
    const lines = (line + chunk.toString("latin1")).split("\n");
    line = lines.pop() ?? "";
    for (const command of lines) {
      if (/^quit\s*$/i.test(command)) return leave(bye.wire);
      if (++commands > patienceCommands) return leave();
      socket.write(badSequence.wire);
    }
    if (line.length > maxLineOctets) leave();
  };
  const timer = setTimeout(() => socket.destroy(), patienceMs);
  socket.once("close", () => clearTimeout(timer));
  socket.once("end", () => socket.end());
  socket.on("data", read);
  socket.write(greeting.wire);
  socket.resume();
}
