import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startEmbeddedRedis } from "../../services/cli/up/redis-server.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { waitFor } from "../support/wait-for.ts";

const silent = createLogger("test", { write: () => {} });
const cli = (url: string, ...command: string[]): string =>
  execFileSync("redis-cli", ["-s", url.slice("unix://".length), ...command], {
    stdio: ["ignore", "pipe", "ignore"],
  })
    .toString()
    .trim();

test("the embedded Redis keeps everything, evicts nothing, and is restarted when it is killed", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "postern-redis-"));
  const redis = await startEmbeddedRedis(directory, silent);
  t.after(async () => {
    await redis.stop();
    rmSync(directory, { recursive: true });
  });
  assert.equal(cli(redis.url, "CONFIG", "GET", "appendonly").split("\n")[1], "yes");
  assert.equal(cli(redis.url, "CONFIG", "GET", "maxmemory-policy").split("\n")[1], "noeviction");
  cli(redis.url, "SET", "kept", "1");
  await waitFor("the append-only file to be written", () =>
    cli(redis.url, "INFO", "persistence").includes("aof_last_write_status:ok"),
  );
  const pid = Number(/process_id:(\d+)/.exec(cli(redis.url, "INFO", "server"))?.[1]);
  process.kill(pid, "SIGTERM");
  await waitFor("redis-server to be started again", () => {
    try {
      return cli(redis.url, "GET", "kept") === "1";
    } catch {
      return false;
    }
  });
});

test("a socket path longer than the system allows is avoided", async (t) => {
  const parent = mkdtempSync(join(tmpdir(), "postern-redis-"));
  const directory = join(parent, "a".repeat(60), "b".repeat(60));
  const redis = await startEmbeddedRedis(directory, silent);
  t.after(async () => {
    await redis.stop();
    rmSync(parent, { recursive: true });
  });
  assert.equal(cli(redis.url, "PING"), "PONG");
});
