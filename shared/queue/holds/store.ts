/**
 * Holds: rules by which mail is not delivered for now. They stand in Redis, where all processes see changes at once,
 * and in a file beside the spool. Owns two connections and a timer; close() ends them.
 */
import type { Logger } from "../../runtime/log.ts";
import { createRedis, queuePrefix, type RedisConfig } from "../../runtime/redis.ts";
import { type HoldsCopy, readHoldsFile, writeHoldsFile } from "./file.ts";
import { type Holdable, HoldMatcher, type HoldRule, holdRuleId, holdRuleSchema } from "./rules.ts";

export interface Holds {
  /** Resolves when the rules are known for the first time; rejects never. */
  readonly ready: Promise<void>;
  /** The rules as last seen, expired ones included until someone removes them. */
  list(): HoldRule[];
  /** The rule that holds this job, as far as this process has heard. */
  match(job: Holdable): HoldRule | undefined;
  /** As match(), after a look into Redis: asked before a job is parked, so that one just released stays so. */
  confirm(job: Holdable): Promise<HoldRule | undefined>;
  /**
   * Adds rules, or replaces those of the same kind and value. On stable storage and in Redis when it resolves.
   * Jobs are parked as workers meet them; parkHeld() parks those that wait.
   * @throws Error when Redis or the file fails
   */
  add(rules: Omit<HoldRule, "createdAtMs">[]): Promise<void>;
  /** Removes rules by id; releaseParked() lets their jobs go. @returns how many there were @throws as add */
  remove(ruleIds: string[]): Promise<number>;
  /** Called after the rules changed, here or elsewhere. @returns what ends it */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}

/** A hash: hold rules by id, and `version`. */
const holdsKey = `${queuePrefix}:holds`;
/** A channel: the holds changed. */
const holdsChannel = `${queuePrefix}:holds:changed`;
/** Besides the messages of Redis, which may be missed. */
const pollMs = 5_000;

/** @param file  `holds.json` in the spool's directory */
export function createHolds(options: {
  redis: RedisConfig;
  file: string;
  log: Logger;
  pollMs?: number;
}): Holds {
  const { file, log } = options;
  const redis = createRedis(options.redis, "plain", log);
  const subscriber = createRedis(options.redis, "worker", log);
  const listeners = new Set<() => void>();
  let known: HoldsCopy = { version: 0, rules: [] };
  let matcher = new HoldMatcher([], 0);
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let firstKnown: () => void = () => {};
  const ready = new Promise<void>((resolve) => {
    firstKnown = resolve;
  });

  const learn = (copy: HoldsCopy): void => {
    const changed = JSON.stringify(copy.rules) !== JSON.stringify(known.rules);
    known = copy;
    if (!changed) return;
    matcher = new HoldMatcher(copy.rules, Date.now());
    for (const listener of listeners) listener();
  };

  const match = (job: Holdable): HoldRule | undefined => {
    const nowMs = Date.now();
    if (nowMs >= matcher.validUntilMs) matcher = new HoldMatcher(known.rules, nowMs);
    return matcher.match(job);
  };

  const readRedis = async (): Promise<HoldsCopy | undefined> => {
    const { version, ...fields } = await redis.hgetall(holdsKey);
    if (version === undefined) return undefined;
    return { version: Number(version), rules: Object.values(fields).flatMap((text) => parseRule(text, log)) };
  };

  /** Redis was emptied, or is an older copy of itself: what we know, or what the file says, is newer. */
  const restore = async (copy: HoldsCopy): Promise<void> => {
    const version = copy.version + 1;
    const fields = copy.rules.flatMap((rule) => [holdRuleId(rule), JSON.stringify(rule)]);
    await redis
      .multi()
      .del(holdsKey)
      .hset(holdsKey, "version", version, ...fields)
      .publish(holdsChannel, String(version))
      .exec();
    log.info({ rules: copy.rules.length }, "restored the holds that Redis had lost");
    learn({ ...copy, version });
  };

  const refresh = async (): Promise<void> => {
    const stored = await redis.hget(holdsKey, "version");
    if (stored !== null && Number(stored) === known.version && known.version > 0) return;
    const inRedis = await readRedis();
    const newest = newer(known, await readHoldsFile(file).catch((error) => unreadable(file, error, log)));
    if (newest.version > (inRedis?.version ?? 0)) await restore(newest);
    else learn(inRedis ?? known);
  };

  const poll = async (): Promise<void> => {
    clearTimeout(timer);
    try {
      await refresh();
      firstKnown();
    } catch (error) {
      if (!closed) log.debug({ err: error }, "could not read the holds");
      // Without Redis nothing is delivered either; but what the file says is better than nothing.
      if (known.version === 0) {
        const copy = await readHoldsFile(file).catch(() => undefined);
        if (copy && known.version === 0) learn(copy);
      }
      firstKnown();
    }
    if (!closed) {
      clearTimeout(timer);
      timer = setTimeout(poll, options.pollMs ?? pollMs);
    }
  };

  /** Until what is written is the newest: another process may have changed something, and written it first. */
  const save = async (copy: HoldsCopy): Promise<void> => {
    await writeHoldsFile(file, copy);
    const inRedis = await readRedis();
    if (inRedis !== undefined && inRedis.version > copy.version) await save(inRedis);
  };

  const change = async (edit: (multi: ReturnType<typeof redis.multi>) => void): Promise<void> => {
    await refresh();
    const multi = redis.multi();
    edit(multi);
    multi.hincrby(holdsKey, "version", 1);
    const results = await multi.exec();
    const failed = results?.find(([error]) => error);
    if (failed?.[0]) throw failed[0];
    const copy = await readRedis();
    if (copy === undefined) throw new Error("Redis lost the holds at once");
    learn(copy);
    await save(copy);
    await redis.publish(holdsChannel, String(copy.version));
  };

  subscriber.on("message", () => void poll());
  subscriber.on("ready", () => void poll());
  subscriber.subscribe(holdsChannel).catch(() => {});
  void poll();

  return {
    ready,
    list: () => [...known.rules],
    match,
    async confirm(job) {
      await refresh().catch((error) => log.debug({ err: error }, "could not read the holds"));
      return match(job);
    },
    async add(rules) {
      const createdAtMs = Date.now();
      const fields = rules.flatMap((rule) => [holdRuleId(rule), JSON.stringify({ ...rule, createdAtMs })]);
      if (fields.length > 0) await change((multi) => multi.hset(holdsKey, ...fields));
    },
    async remove(ruleIds) {
      const there = new Set(known.rules.map(holdRuleId));
      const gone = ruleIds.filter((id) => there.has(id));
      if (gone.length > 0) await change((multi) => multi.hdel(holdsKey, ...gone));
      return gone.length;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      subscriber.disconnect();
      redis.disconnect();
    },
  };
}

function newer(known: HoldsCopy, file: HoldsCopy | undefined): HoldsCopy {
  return file !== undefined && file.version > known.version ? file : known;
}

function unreadable(file: string, error: unknown, log: Logger): undefined {
  log.error({ err: error, file }, "cannot read the copy of the holds");
  return undefined;
}

function parseRule(text: string, log: Logger): HoldRule[] {
  try {
    return [holdRuleSchema.parse(JSON.parse(text))];
  } catch (error) {
    log.error({ err: error, rule: text }, "not a hold rule");
    return [];
  }
}
