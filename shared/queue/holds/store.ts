/**
 * The room of holds: rules by which mail is not delivered for now. This file stores them in Redis, where all processes
 * see changes at once, and in a file beside the spool. It owns two connections and a timer; close() ends them.
 */
import { rm } from "node:fs/promises";
import type { Logger } from "../../runtime/log.ts";
import { createRedis, queuePrefix, type RedisConfig, type RedisConnection } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";
import { type HoldsCopy, handedOverPlace, readHoldsFile, writeHoldsFile } from "./file.ts";
import { type Holdable, HoldMatcher, type HoldRule, holdRuleId, holdRuleSchema } from "./rules.ts";

export interface Holds {
  /** Resolves when the rules are known for the first time; rejects never. */
  readonly ready: Promise<void>;
  /** The rules as last seen, expired ones included until someone removes them. */
  list(): HoldRule[];
  /** The rule that holds this job, by the rules as last seen. */
  match(job: Holdable): HoldRule | undefined;
  /** As match(), by the rules that Redis has now: asked before a job is held, since its rule may just have ended. */
  confirm(job: Holdable): Promise<HoldRule | undefined>;
  /**
   * Adds rules, or replaces those of the same kind and value, which stand since their first time then. On stable storage
   * and in Redis when it resolves. Workers hold the jobs that they take; holdCovered() holds those that wait.
   * @throws Error when Redis or the file fails
   */
  add(rules: Omit<HoldRule, "createdAtMs">[]): Promise<void>;
  /** The rule of this kind and value as last seen, unless it has expired. */
  find(rule: Pick<HoldRule, "kind" | "value">): HoldRule | undefined;
  /** Removes rules by id; releaseUncovered() releases their jobs. @returns how many there were @throws as add */
  remove(ruleIds: string[]): Promise<number>;
  /** Called after the rules changed, here or elsewhere. @returns what ends it */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}

/** A hash: hold rules by id, and `version`. */
const holdsKey = `${queuePrefix}:holds`;
/** A channel: the holds changed; the message is the new version. */
const holdsChannel = `${queuePrefix}:holds:changed`;
/** A message of the channel may be missed: the version is read so often. */
const pollMs = 5_000;

/**
 * Replaces all rules, unless Redis has a copy as new as ours by now: with rules, then, that we do not know.
 * KEYS: the rules. ARGV: channel, version of our copy, then the fields of the hash. Returns 1 replaced, 0 left.
 */
const restoreScript = new Script(
  `
local stored = tonumber(redis.call("HGET", KEYS[1], "version") or 0)
if stored >= tonumber(ARGV[2]) then return 0 end
redis.call("DEL", KEYS[1])
for i = 3, #ARGV, 2 do redis.call("HSET", KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call("PUBLISH", ARGV[1], ARGV[4])
return 1
`,
);

export interface HoldsOptions {
  redis: RedisConfig;
  /** `holds.json` in the spool's directory. */
  file: string;
  log: Logger;
  pollMs?: number;
}

export function createHolds(options: HoldsOptions): Holds {
  return new StoredHolds(options);
}

class StoredHolds implements Holds {
  readonly ready: Promise<void>;
  readonly #file: string;
  readonly #log: Logger;
  readonly #pollMs: number;
  readonly #redis: RedisConnection;
  readonly #subscriber: RedisConnection;
  readonly #listeners = new Set<() => void>();
  #known: HoldsCopy = { version: 0, rules: [] };
  #byId = new Map<string, HoldRule>();
  #matcher = new HoldMatcher([], 0);
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: HoldsOptions) {
    this.#file = options.file;
    this.#log = options.log;
    this.#pollMs = options.pollMs ?? pollMs;
    this.#redis = createRedis(options.redis, "plain", options.log);
    this.#subscriber = createRedis(options.redis, "worker", options.log);
    this.#subscriber.on("message", () => void this.#poll());
    this.#subscriber.on("ready", () => {
      // What fails is repeated at the next `ready`, and the regular polls go on.
      this.#subscriber.subscribe(holdsChannel).catch(() => {});
      void this.#poll();
    });
    this.ready = this.#poll();
  }

  list(): HoldRule[] {
    return [...this.#known.rules];
  }

  match(job: Holdable): HoldRule | undefined {
    const nowMs = Date.now();
    if (nowMs >= this.#matcher.validUntilMs) this.#matcher = new HoldMatcher(this.#known.rules, nowMs);
    return this.#matcher.match(job);
  }

  async confirm(job: Holdable): Promise<HoldRule | undefined> {
    await this.#refresh().catch((error) => this.#log.debug({ err: error }, "could not read the holds"));
    return this.match(job);
  }

  async add(rules: Omit<HoldRule, "createdAtMs">[]): Promise<void> {
    const nowMs = Date.now();
    await this.#refresh();
    const fields = rules.flatMap((rule) => {
      const createdAtMs = this.find(rule)?.createdAtMs ?? nowMs;
      return [holdRuleId(rule), JSON.stringify({ ...rule, createdAtMs })];
    });
    if (fields.length > 0) await this.#change((multi) => multi.hset(holdsKey, ...fields));
  }

  find(rule: Pick<HoldRule, "kind" | "value">): HoldRule | undefined {
    const found = this.#byId.get(holdRuleId(rule));
    return found?.untilMs !== undefined && found.untilMs <= Date.now() ? undefined : found;
  }

  async remove(ruleIds: string[]): Promise<number> {
    const present = new Set(this.#known.rules.map(holdRuleId));
    const removed = ruleIds.filter((id) => present.has(id));
    if (removed.length > 0) await this.#change((multi) => multi.hdel(holdsKey, ...removed));
    return removed.length;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#subscriber.disconnect();
    this.#redis.disconnect();
  }

  /** Rejects never: what fails is tried again at the next poll. */
  async #poll(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.#refresh();
      await this.#takeHandedOver();
    } catch (error) {
      if (!this.#closed) this.#log.debug({ err: error }, "could not read the holds");
      // Without Redis nothing is delivered either; still the rules of the file are better than none.
      const copy =
        this.#known.version > 0 ? undefined : await readHoldsFile(this.#file).catch(() => undefined);
      if (copy && this.#known.version === 0) this.#use(copy);
    }
    clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => void this.#poll(), this.#pollMs);
  }

  /** Adds the rules that came with the mail of another spool. Each process may do it: the rules are the same. */
  async #takeHandedOver(): Promise<void> {
    const place = handedOverPlace(this.#file);
    const copy = await readHoldsFile(place);
    if (copy === undefined) return;
    const missing = copy.rules.filter((rule) => !this.#byId.has(holdRuleId(rule)));
    if (missing.length > 0) {
      const fields = missing.flatMap((rule) => [holdRuleId(rule), JSON.stringify(rule)]);
      await this.#change((multi) => multi.hset(holdsKey, ...fields));
      this.#log.info({ rules: missing.length }, "took the holds that came with mail of another spool");
    }
    await rm(place, { force: true });
  }

  async #refresh(): Promise<void> {
    const stored = await this.#redis.hget(holdsKey, "version");
    if (stored !== null && Number(stored) === this.#known.version && this.#known.version > 0) return;
    const inRedis = await this.#readRedis();
    const inFile = await readHoldsFile(this.#file).catch((error) => {
      this.#log.error({ err: error, file: this.#file }, "cannot read the copy of the holds");
      return undefined;
    });
    const newest = inFile !== undefined && inFile.version > this.#known.version ? inFile : this.#known;
    if (newest.version > (inRedis?.version ?? 0)) await this.#restore(newest);
    else this.#use(inRedis ?? this.#known);
  }

  #use(copy: HoldsCopy): void {
    const changed = JSON.stringify(copy.rules) !== JSON.stringify(this.#known.rules);
    this.#known = copy;
    if (!changed) return;
    this.#byId = new Map(copy.rules.map((rule) => [holdRuleId(rule), rule]));
    this.#matcher = new HoldMatcher(copy.rules, Date.now());
    for (const listener of this.#listeners) listener();
  }

  async #readRedis(): Promise<HoldsCopy | undefined> {
    const { version, ...fields } = await this.#redis.hgetall(holdsKey);
    if (version === undefined) return undefined;
    const rules = Object.values(fields).flatMap((text) => parseRule(text, this.#log));
    return { version: Number(version), rules };
  }

  /** Writes a newer copy to Redis, which was emptied or is an older copy of itself. */
  async #restore(copy: HoldsCopy): Promise<void> {
    const version = copy.version + 1;
    const fields = copy.rules.flatMap((rule) => [holdRuleId(rule), JSON.stringify(rule)]);
    const args = [holdsChannel, copy.version, "version", version, ...fields];
    if ((await restoreScript.run(this.#redis, [holdsKey], args)) === 0) {
      // Another process restored or changed them since we read them.
      const inRedis = await this.#readRedis();
      if (inRedis !== undefined) this.#use(inRedis);
      return;
    }
    this.#log.info({ rules: copy.rules.length }, "restored the holds that Redis had lost");
    this.#use({ ...copy, version });
  }

  async #change(edit: (multi: ReturnType<RedisConnection["multi"]>) => void): Promise<void> {
    await this.#refresh();
    const multi = this.#redis.multi();
    edit(multi);
    multi.hincrby(holdsKey, "version", 1);
    const results = await multi.exec();
    const failed = results?.find(([error]) => error);
    if (failed?.[0]) throw failed[0];
    const copy = await this.#readRedis();
    if (copy === undefined) throw new Error("Redis lost the holds at once");
    this.#use(copy);
    await this.#save(copy);
    await this.#redis.publish(holdsChannel, String(copy.version));
  }

  /** Writes the file until it has the newest copy: another process may have changed the holds and written first. */
  async #save(copy: HoldsCopy): Promise<void> {
    await writeHoldsFile(this.#file, copy);
    const inRedis = await this.#readRedis();
    if (inRedis !== undefined && inRedis.version > copy.version) await this.#save(inRedis);
  }
}

function parseRule(text: string, log: Logger): HoldRule[] {
  try {
    return [holdRuleSchema.parse(JSON.parse(text))];
  } catch (error) {
    log.error({ err: error, rule: text }, "not a hold rule");
    return [];
  }
}
