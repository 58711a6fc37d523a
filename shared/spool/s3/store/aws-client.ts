/**
 * The SDK's client, one attempt of it at a time: how often a request is repeated, and what its failure means, is decided
 * here. Owns the client and its connections, until close().
 */
import { createHash } from "node:crypto";
import { S3Client } from "@aws-sdk/client-s3";
import { type FailureKind, type RequestCounts, StoreFailure, type StoreOperation } from "./object-store.ts";
import { repeatAttempts } from "./repeat.ts";

export interface AwsClientOptions {
  region: string;
  /** Absent: Amazon's of the region. */
  endpoint?: string;
  /** The bucket in the path instead of the host name. */
  pathStyle: boolean;
  /** Absent: as the SDK finds them. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  /** How long one attempt may take, without the time for its octets. */
  attemptMs: number;
  /** How long attempts of one request are repeated. */
  repeatMs: number;
}

/** One attempt of a request. */
export type Attempt<T> = (client: S3Client, options: { abortSignal: AbortSignal }) => Promise<T>;

/** Octets a millisecond that an attempt must reach on top of `attemptMs`: 256 KiB a second. */
const slowestBytesPerMs = 262;
const mostSockets = 64;
/** For asking what became of a write that was not answered. */
const afterwardsMs = 5000;

export interface RequestDetails {
  bytes?: number;
  onFailure?: (kind: FailureKind) => void;
  signal?: AbortSignal | undefined;
}

/** What sends requests: the client, or a part of it whose requests can be given up. */
export type Requests = Pick<AwsClient, "send" | "sendOnce" | "requests" | "clockMs" | "close">;

export class AwsClient {
  readonly requests: RequestCounts = { put: 0, get: 0, head: 0, list: 0, delete: 0, multipart: 0 };
  /** The store's clock at its last answer, in epoch milliseconds. */
  clockMs: number | undefined;
  readonly #options: AwsClientOptions;
  readonly #client: S3Client;

  constructor(options: AwsClientOptions) {
    const { region, endpoint, pathStyle, credentials, attemptMs } = options;
    this.#options = options;
    this.#client = new S3Client({
      region,
      forcePathStyle: pathStyle,
      maxAttempts: 1,
      // Records have checksums of their own, and many stores do not know those that the SDK adds by itself.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        connectionTimeout: attemptMs,
        httpAgent: { maxSockets: mostSockets, keepAlive: true },
        httpsAgent: { maxSockets: mostSockets, keepAlive: true },
      },
      ...(endpoint !== undefined && { endpoint }),
      ...(credentials !== undefined && { credentials }),
    });
    this.#client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        this.#observe(result.response);
        return result;
      },
      { step: "deserialize", name: "observeStoreClock" },
    );
    // OpenStack Swift and other stores want it; the SDK sends a checksum of another kind only.
    this.#client.middlewareStack.add(
      (next, context) => async (args) => {
        const { commandName } = context as { commandName?: string };
        const request = args.request as { headers: Record<string, string>; body?: string | Uint8Array };
        if (commandName === "DeleteObjectsCommand" && request.body !== undefined)
          request.headers["content-md5"] = createHash("md5").update(request.body).digest("base64");
        return next(args);
      },
      { step: "build", priority: "low", name: "contentMd5OfDeleteObjects" },
    );
  }

  /**
   * Repeats a request while that may help.
   * @param more.bytes      that it sends or receives, which take their time
   * @param more.onFailure  hears of each attempt that failed
   * @param more.signal     gives the request up
   * @throws StoreFailure
   */
  send<T>(operation: StoreOperation, attempt: Attempt<T>, more: RequestDetails = {}): Promise<T> {
    const { attemptMs, repeatMs } = this.#options;
    return repeatAttempts((abortSignal) => attempt(this.#client, { abortSignal }), {
      attemptMs: attemptMs + (more.bytes ?? 0) / slowestBytesPerMs,
      repeatMs,
      onAttempt: () => {
        this.requests[operation]++;
      },
      ...(more.onFailure !== undefined && { onFailure: more.onFailure }),
      signal: more.signal,
    });
  }

  /** One short attempt. @throws the SDK's errors */
  sendOnce<T>(operation: StoreOperation, attempt: Attempt<T>, signal?: AbortSignal): Promise<T> {
    this.requests[operation]++;
    const late = AbortSignal.timeout(Math.min(afterwardsMs, this.#options.attemptMs));
    const abortSignal = signal === undefined ? late : AbortSignal.any([late, signal]);
    return attempt(this.#client, { abortSignal });
  }

  close(): void {
    this.#client.destroy();
  }

  #observe(response: unknown): void {
    const { headers } = (response ?? {}) as { headers?: { date?: string } };
    const dateMs = Date.parse(headers?.date ?? "");
    if (!Number.isNaN(dateMs)) this.clockMs = dateMs;
  }
}

/** The requests of a client until `signal` is aborted. */
export function requestsUntil(client: Requests, signal: AbortSignal): Requests {
  return {
    send: (operation, attempt, more) => client.send(operation, attempt, { ...more, signal }),
    sendOnce: (operation, attempt) => client.sendOnce(operation, attempt, signal),
    get requests() {
      return client.requests;
    },
    get clockMs() {
      return client.clockMs;
    },
    close: () => client.close(),
  };
}

/** @returns undefined for what does not exist; a bucket that does not is a failure */
export async function unlessMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const isMissing = error instanceof StoreFailure && error.kind === "missing";
    if (isMissing && !error.message.startsWith("NoSuchBucket")) return undefined;
    throw error;
  }
}
