/** Keeps the last tasks in Redis, where every admin sees them. Owns nothing; the connection is the caller's. */
import { queuePrefix, type RedisConnection } from "../../../shared/runtime/redis.ts";
import { type StoredReport, type StoredTask, storedTaskSchema, taskReportSchema } from "./task.ts";

/** A hash: tasks by id. */
const tasksKey = `${queuePrefix}:tasks`;
/** A hash: what came of tasks, by id. */
const reportsKey = `${queuePrefix}:tasks:reports`;
/** The oldest finished ones go first. */
const maxKept = 200;

export class TaskStore {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  async write(task: StoredTask): Promise<void> {
    await this.#redis.hset(tasksKey, task.id, JSON.stringify(task));
  }

  async writeReport(id: string, report: StoredReport): Promise<void> {
    await this.#redis.hset(reportsKey, id, JSON.stringify(report));
  }

  async findReport(id: string): Promise<StoredReport | undefined> {
    const text = await this.#redis.hget(reportsKey, id);
    return text === null ? undefined : taskReportSchema.safeParse(JSON.parse(text)).data;
  }

  /** The newest first. */
  async list(): Promise<StoredTask[]> {
    const tasks = Object.values(await this.#redis.hgetall(tasksKey)).flatMap(parse);
    return tasks.sort((a, b) => Date.parse(b.startedAt) - Date.parse(a.startedAt));
  }

  async find(id: string): Promise<StoredTask | undefined> {
    const text = await this.#redis.hget(tasksKey, id);
    return text === null ? undefined : parse(text)[0];
  }

  /** Forgets the oldest. */
  async trim(): Promise<void> {
    const old = (await this.list()).slice(maxKept).map(({ id }) => id);
    if (old.length === 0) return;
    await this.#redis.hdel(tasksKey, ...old);
    await this.#redis.hdel(reportsKey, ...old);
  }
}

/** What another version wrote may be unreadable: it is left out. */
function parse(text: string): StoredTask[] {
  try {
    return [storedTaskSchema.parse(JSON.parse(text))];
  } catch {
    return [];
  }
}
