/** HAProxy in TCP mode on a host of the lab, for intercepted connections. */
import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { waitFor } from "../wait-for.ts";
import type { LabHost } from "./network.ts";

/** A `server` line to a listener with `destination: proxy`: sends PROXY v2 headers. @param target  `127.0.0.1:10027` */
export const toPostern = (target: string): string => `postern ${target} send-proxy-v2`;
/** A `server` line to the original destination of each connection, from the client's address. */
export const toOriginal = "original 0.0.0.0 source 0.0.0.0 usesrc clientip";

/**
 * Runs until the lab ends.
 * @param port    of its transparent listener, for IPv4 and IPv6
 * @param server  the words of its `server` line
 */
export async function startHaproxy(
  host: LabHost,
  directory: string,
  port: number,
  server: string,
): Promise<ChildProcess> {
  const file = join(directory, "haproxy.cfg");
  writeFileSync(
    file,
    `defaults
  mode tcp
  timeout connect 10s
  timeout client 5m
  timeout server 5m
  option splice-auto
listen smtp
  bind :::${port} v4v6 transparent
  server ${server}
`,
  );
  const child = host.spawn("haproxy", "-db", "-f", file);
  await waitFor("HAProxy to listen", async () => {
    if (child.exitCode !== null) throw new Error(`haproxy ended: ${child.stderr?.read()}`);
    // A connection would be forwarded to its original destination, which is HAProxy itself.
    return (await host.run("ss", "-Hltn", `sport = :${port}`)).output.includes(String(port));
  });
  return child;
}
