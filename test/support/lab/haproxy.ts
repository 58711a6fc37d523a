/** HAProxy on a host of the lab, where it takes intercepted connections and tells whose they are by PROXY v2. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { waitFor } from "../wait-for.ts";
import type { LabHost } from "./network.ts";

/**
 * Runs until the lab ends.
 * @param port    where it listens transparently, for IPv4 and IPv6
 * @param target  `127.0.0.1:10027`, a listener with `destination: proxy`
 */
export async function startHaproxy(
  host: LabHost,
  directory: string,
  port: number,
  target: string,
): Promise<void> {
  const file = join(directory, "haproxy.cfg");
  writeFileSync(
    file,
    `defaults
  mode tcp
  timeout connect 10s
  timeout client 1m
  timeout server 1m
listen smtp
  bind :::${port} v4v6 transparent
  server postern ${target} send-proxy-v2
`,
  );
  const child = host.spawn("haproxy", "-db", "-f", file);
  await waitFor("HAProxy to listen", async () => {
    if (child.exitCode !== null) throw new Error(`haproxy ended: ${child.stderr?.read()}`);
    return (await host.run("bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/${port}`)).code === 0;
  });
}
