/** What gateways on several hosts share, on a host of the lab: a Redis and an S3-speaking store. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LabHost } from "../../test/support/lab/network.ts";
import { searchPath } from "../../test/support/programs.ts";
import { waitFor } from "../../test/support/wait-for.ts";
import { orInterrupted } from "../interrupt.ts";
import { end, run } from "./program.ts";
import type { StoreAddress, StoreRequests } from "./store-server.ts";

const storeServer = fileURLToPath(new URL("store-server.ts", import.meta.url));
const environment = { ...process.env, PATH: searchPath };

export interface SharedRedis {
  url: string;
  pid: number;
  stop(): Promise<void>;
}

/** @param directory  in which it makes one of its own */
export async function startSharedRedis(
  host: LabHost,
  { address, port, directory }: { address: string; port: number; directory: string },
): Promise<SharedRedis> {
  const own = mkdtempSync(join(directory, "redis-"));
  const [word = "", ...words] = host.prefix;
  const child = spawn(
    word,
    [
      ...words,
      ...["redis-server", "--bind", address, "--port", String(port), "--protected-mode", "no"],
      ...["--dir", own, "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
      ...["--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning"],
    ],
    { stdio: "ignore", env: environment },
  );
  const ping = `exec 3<>/dev/tcp/${address}/${port} && printf 'PING\\r\\nQUIT\\r\\n' >&3 && grep -q PONG <&3`;
  await waitFor("Redis", async () => {
    if (child.exitCode !== null) throw new Error("redis-server ended");
    return run(word, [...words, "bash", "-c", ping]).then(
      () => true,
      () => false,
    );
  });
  return {
    url: `redis://${net.isIPv6(address) ? `[${address}]` : address}:${port}/0`,
    pid: child.pid ?? 0,
    stop: orInterrupted(() => end(child)),
  };
}

interface StoreSettings {
  bucket: string;
  prefix: string;
  endpoint: string;
  access_key_id: string;
  secret_access_key: string;
}

export interface SharedStore {
  /** `spool.s3` for gateways with this prefix. */
  settings(prefix: string): StoreSettings;
  /** Requests since its start, by operation. */
  requests(): Promise<StoreRequests>;
  pid: number;
  stop(): Promise<void>;
}

/** The store of the tests, which keeps objects in memory. */
export async function startSharedStore(
  host: LabHost,
  { address, port }: { address: string; port: number },
): Promise<SharedStore> {
  const [word = "", ...words] = host.prefix;
  const child = spawn(word, [...words, process.execPath, storeServer, address, String(port)], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: environment,
  });
  const store = (await answerOf(child)) as StoreAddress;
  return {
    settings: (prefix) => ({
      bucket: store.bucket,
      prefix,
      endpoint: store.endpoint,
      access_key_id: store.accessKeyId,
      secret_access_key: store.secretAccessKey,
    }),
    async requests() {
      const answer = answerOf(child);
      child.send("requests");
      return (await answer) as StoreRequests;
    },
    pid: child.pid ?? 0,
    stop: orInterrupted(() => end(child)),
  };
}

function answerOf(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error("the store ended"));
    child.once("exit", ended);
    child.once("message", (message) => {
      child.off("exit", ended);
      resolve(message);
    });
  });
}
