/** Postern as a user runs it: `postern up` with its own Redis, in a temporary directory, everything relayed to one port. */
import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { end, freePort, untilGreets } from "./program.ts";

export interface Postern {
  port: number;
  directory: string;
  stop(): Promise<void>;
}

/** @param via  `host:port` that everything is relayed to */
export async function startPostern(via: string): Promise<Postern> {
  const directory = mkdtempSync(join(tmpdir(), "postern-bench-"));
  const [port, adminPort] = [await freePort(), await freePort()];
  const file = join(directory, "postern.yaml");
  writeFileSync(
    file,
    `hostname: bench.example.net
data: ./data
listeners:
  - { name: bench, address: 127.0.0.1, port: ${port}, destination: self }
relay:
  routes: [{ to: "*", via: "${via}" }]
admin: { port: ${adminPort} }
`,
  );
  const log = openSync(join(directory, "log"), "w");
  const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));
  const child = spawn(program, ["up", "-c", file], { stdio: ["ignore", log, log] });
  closeSync(log);
  await untilGreets(port);
  await untilReady(adminPort);
  return {
    port,
    directory,
    async stop() {
      await end(child);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function untilReady(adminPort: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${adminPort}/health`).catch(() => undefined);
    if (response?.status === 200) return;
    if (Date.now() > deadline) throw new Error("postern up is not ready after 30 s");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
