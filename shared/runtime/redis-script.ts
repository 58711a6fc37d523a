/** A Lua script in Redis: called by EVALSHA, and by EVAL when Redis does not know it yet. */
import { createHash } from "node:crypto";
import type { RedisConnection } from "./redis.ts";

/** A script that Redis runs also when it has reached `maxmemory`. Redis 7 and later read such flags. */
export function evenWhenFull(lua: string): string {
  return `#!lua flags=allow-oom\n${lua}`;
}

/** @throws Error of the connection */
export async function knowsScriptFlags(redis: RedisConnection): Promise<boolean> {
  const version = /^redis_version:(\d+)/m.exec(await redis.info("server"))?.[1];
  return Number(version) >= 7;
}

export class Script {
  #lua: string;
  #sha: string;
  /** Absent when it has no flags. */
  #withoutFlags: string | undefined;

  /** @param options  `whenFull`: it also runs when Redis has reached `maxmemory`, for it makes room or little use of it */
  constructor(lua: string, { whenFull = false }: { whenFull?: boolean } = {}) {
    this.#withoutFlags = whenFull ? lua : undefined;
    this.#lua = whenFull ? evenWhenFull(lua) : lua;
    this.#sha = sha1(this.#lua);
  }

  /** @throws Error of Redis, or of the connection */
  async run(redis: RedisConnection, keys: string[], args: (string | number | Buffer)[]): Promise<unknown> {
    try {
      return await redis.evalsha(this.#sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!isError(error, /^NOSCRIPT/)) throw error;
    }
    try {
      return await redis.eval(this.#lua, keys.length, ...keys, ...args);
    } catch (error) {
      // A server before Redis 7.
      if (this.#withoutFlags === undefined || !isError(error, /compiling script.*'#'/)) throw error;
      this.#lua = this.#withoutFlags;
      this.#sha = sha1(this.#lua);
      this.#withoutFlags = undefined;
      return this.run(redis, keys, args);
    }
  }
}

function isError(error: unknown, message: RegExp): boolean {
  return error instanceof Error && message.test(error.message);
}

function sha1(text: string): string {
  return createHash("sha1").update(text).digest("hex");
}
