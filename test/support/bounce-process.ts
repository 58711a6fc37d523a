/**
 * A bounce service as a process that stops itself with SIGSTOP, once, where a test says: `node bounce-process.ts JSON read`
 * after it has read a message, or `commit` right before it stores a notification. Its locks are short.
 */
import path from "node:path";
import { pino } from "pino";
import { startBounce } from "../../services/bounce/bounce.ts";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import { testConfig } from "./config.ts";

const config = testConfig(JSON.parse(process.argv[2] ?? "{}"));
const where = process.argv[3];
const spool = createFsSpool({ directory: path.join(config.data, "spool"), followMs: 50 });

let stopped = false;
const stopAt = (place: string): void => {
  if (stopped || place !== where) return;
  stopped = true;
  process.kill(process.pid, "SIGSTOP");
  process.stdout.write("goes on\n");
};
const read = spool.read.bind(spool);
spool.read = async (...which) => {
  const found = await read(...which);
  stopAt("read");
  return found;
};
const draft = spool.draft.bind(spool);
spool.draft = () => {
  const begun = draft();
  const commit = begun.commit.bind(begun);
  begun.commit = (...record) => {
    stopAt("commit");
    return commit(...record);
  };
  return begun;
};

const service = await startBounce({
  config,
  redis: { url: config.redis?.url ?? "" },
  log: pino({ level: "info" }),
  spool,
  workerTiming: { lockMs: 1_000, stalledCheckMs: 200, epochCheckMs: 200, reclaimMs: 200 },
});
// When the parent disconnects or ends, what has begun is finished.
process.on("disconnect", () => void service.close(60_000).then(() => process.exit(0)));
