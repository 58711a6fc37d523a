/** The command line's way to the admin API: HTTP to the address of the configuration, with the configured or found token. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { z } from "zod";
import type { Config } from "../../../shared/config/schema.ts";
import { CommandFailed } from "../command-line/args.ts";

/** Nothing answers where the admin should be. */
export class AdminUnreachable extends CommandFailed {
  override name = "AdminUnreachable";
}

/** The admin answered, and said no. */
export class AdminRefused extends CommandFailed {
  override name = "AdminRefused";
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

export interface AdminClient {
  /** @throws AdminUnreachable, AdminRefused; so do the others */
  get(pathname: string, query?: Record<string, string>): Promise<unknown>;
  post(pathname: string, body: unknown): Promise<unknown>;
  /** The octets of a response, as they come. */
  stream(pathname: string): Promise<Readable>;
}

/** Short questions; a change of very many messages takes longer. */
const readTimeoutMs = 15_000;
const writeTimeoutMs = 600_000;

const problemSchema = z.object({ detail: z.string() });

/** @param baseUrl  `http://127.0.0.1:8025` */
export function createAdminClient(baseUrl: string, token: string | undefined): AdminClient {
  const ask = async (url: URL, init: RequestInit, timeoutMs: number): Promise<Response> => {
    const headers = new Headers(init.headers);
    // Header fields are octets: a token beyond ASCII goes as UTF-8.
    if (token !== undefined) {
      headers.set("authorization", `Bearer ${Buffer.from(token, "utf8").toString("latin1")}`);
    }
    let response: Response;
    try {
      response = await fetch(url, {
        ...init,
        headers,
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs),
      });
    } catch (error) {
      throw new AdminUnreachable(`nothing answers at ${baseUrl} (${causeOf(error)}): is the admin running?`);
    }
    if (response.ok) return response;
    const body: unknown = await response.json().catch(() => undefined);
    const problem = problemSchema.safeParse(body);
    throw new AdminRefused(response.status, problem.data?.detail ?? `HTTP status ${response.status}`);
  };
  return {
    async get(pathname, query = {}) {
      const url = new URL(pathname, baseUrl);
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
      return (await ask(url, {}, readTimeoutMs)).json();
    },
    async post(pathname, body) {
      const init = {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      };
      return (await ask(new URL(pathname, baseUrl), init, writeTimeoutMs)).json();
    },
    async stream(pathname) {
      const response = await ask(new URL(pathname, baseUrl), {}, writeTimeoutMs);
      if (response.body === null) return Readable.from([]);
      return Readable.fromWeb(response.body);
    },
  };
}

/** Where the admin listens, as a client on this machine reaches it; `undefined` when the port is any free one. */
export function adminUrl(admin: Config["admin"]): string | undefined {
  return admin.port === 0 ? undefined : localUrl(admin.address, admin.port);
}

/** An address to listen on, as an address to connect to. */
export function localUrl(address: string, port: number): string {
  if (address === "0.0.0.0" || address === "") return `http://127.0.0.1:${port}`;
  if (address === "::") return `http://[::1]:${port}`;
  return address.includes(":") ? `http://[${address}]:${port}` : `http://${address}:${port}`;
}

/** From the configuration, else from the file that the admin made; `undefined` when there is neither. */
export async function findToken(config: Config): Promise<string | undefined> {
  if (config.admin.token !== undefined) return config.admin.token;
  try {
    return (await readFile(path.resolve(config.data, "admin.token"), "utf8")).trim() || undefined;
  } catch {
    // Missing, or not ours to read: reads go without, and a write says that it needs one.
    return undefined;
  }
}

function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  const cause = error.cause;
  if (cause instanceof Error && "code" in cause) return String(cause.code);
  return cause instanceof Error ? cause.message : error.message;
}
