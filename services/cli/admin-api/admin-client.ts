/** The client of the admin API: HTTP with the token of the configuration or of the admin's file. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { z } from "zod";
import type { Config } from "../../../shared/config/schema.ts";
import { formatHostPort } from "../../../shared/net/endpoint.ts";
import { CommandFailed } from "../command-line/command.ts";

/** Nothing answers at the address of the admin. */
export class AdminUnreachable extends CommandFailed {
  override name = "AdminUnreachable";
}

/** The admin answered with an error. */
export class AdminRefused extends CommandFailed {
  override name = "AdminRefused";
  readonly status: number;

  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

export interface AdminClient {
  /** All four: @throws AdminUnreachable, AdminRefused. @param signal  ends the request early */
  get(pathname: string, query?: Record<string, string>, signal?: AbortSignal): Promise<unknown>;
  post(pathname: string, body: unknown): Promise<unknown>;
  delete(pathname: string): Promise<unknown>;
  /** The octets of a response. */
  stream(pathname: string): Promise<Readable>;
}

/** Reads are short; a change of very many messages takes longer. */
const readTimeoutMs = 15_000;
const writeTimeoutMs = 600_000;

const problemSchema = z.object({ detail: z.string() });

/** @param baseUrl  `http://127.0.0.1:8025` */
export function createAdminClient(baseUrl: string, token: string | undefined): AdminClient {
  const send = async (url: URL, init: RequestInit, timeoutMs: number): Promise<Response> => {
    const headers = new Headers(init.headers);
    // A header field is octets: a token beyond ASCII is sent as UTF-8.
    if (token !== undefined) {
      headers.set("authorization", `Bearer ${Buffer.from(token, "utf8").toString("latin1")}`);
    }
    let response: Response;
    try {
      response = await fetch(url, {
        ...init,
        headers,
        redirect: "error",
        signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(init.signal ? [init.signal] : [])]),
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
    async get(pathname, query = {}, signal) {
      const url = new URL(pathname, baseUrl);
      for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
      return (await send(url, signal === undefined ? {} : { signal }, readTimeoutMs)).json();
    },
    async post(pathname, body) {
      const init = {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      };
      return (await send(new URL(pathname, baseUrl), init, writeTimeoutMs)).json();
    },
    async delete(pathname) {
      return (await send(new URL(pathname, baseUrl), { method: "DELETE" }, writeTimeoutMs)).json();
    },
    async stream(pathname) {
      const response = await send(new URL(pathname, baseUrl), {}, writeTimeoutMs);
      if (response.body === null) return Readable.from([]);
      return Readable.fromWeb(response.body);
    },
  };
}

/** The URL of the admin for a client on this machine; `undefined` when `admin.port` is 0. */
export function adminUrl(admin: Config["admin"]): string | undefined {
  return admin.port === 0 ? undefined : localUrl(admin.address, admin.port);
}

/** The URL of a service on this machine, from the address that it listens on. */
export function localUrl(address: string, port: number): string {
  const host = address === "0.0.0.0" || address === "" ? "127.0.0.1" : address === "::" ? "::1" : address;
  return `http://${formatHostPort({ host, port })}`;
}

/** The token of the configuration that may do most, else the one in the file that the admin created; `undefined` without. */
export async function findToken(config: Config): Promise<string | undefined> {
  const { token, tokens } = config.admin;
  if (token !== undefined) return token;
  const [most] = tokens.toSorted((a, b) => b.scopes.length - a.scopes.length);
  if (most !== undefined) return most.token;
  try {
    return (await readFile(path.resolve(config.data, "admin.token"), "utf8")).trim() || undefined;
  } catch {
    // Missing or not readable: reads from loopback need no token, and the admin refuses changes without one.
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
