/** The object store by the AWS SDK. Owns the client, until close(). */
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import {
  type Attempt,
  AwsClient,
  type AwsClientOptions,
  type Requests,
  requestsUntil,
  unlessMissing,
} from "./aws-client.ts";
import { AwsUploads } from "./aws-uploads.ts";
import { Capabilities } from "./capabilities.ts";
import { failureKind } from "./failures.ts";
import {
  type AbortableStore,
  type ListedObject,
  type OpenUpload,
  type RequestCounts,
  StoreFailure,
  type UploadedPart,
} from "./object-store.ts";

export interface AwsStoreOptions extends AwsClientOptions {
  bucket: string;
  /** What all keys begin with. */
  prefix: string;
}

const keysAtOnce = 1000;
/** An object that is read as a whole is as large as a batch. */
const wholeBytes = 16 * 1024 * 1024;

export function createAwsStore(options: AwsStoreOptions): AbortableStore {
  return new AwsStore(options, new AwsClient(options), new Capabilities());
}

class AwsStore implements AbortableStore {
  readonly capabilities: Capabilities;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #client: Requests;
  readonly #uploads: AwsUploads;

  constructor(
    { bucket, prefix }: Pick<AwsStoreOptions, "bucket" | "prefix">,
    client: Requests,
    capabilities: Capabilities,
  ) {
    this.capabilities = capabilities;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#client = client;
    this.#uploads = new AwsUploads(client, bucket);
  }

  until(signal: AbortSignal): AbortableStore {
    const place = { bucket: this.#bucket, prefix: this.#prefix };
    return new AwsStore(place, requestsUntil(this.#client, signal), this.capabilities);
  }

  get requests(): Readonly<RequestCounts> {
    return this.#client.requests;
  }

  async put(key: string, bytes: Buffer): Promise<void> {
    const { conditionalPut } = this.capabilities;
    let isUncertain = false;
    try {
      await this.#client.send("put", this.#put(key, bytes, conditionalPut), {
        bytes: bytes.length,
        onFailure: (kind) => {
          if (kind === "broken") isUncertain = true;
        },
      });
    } catch (error) {
      if (!isUncertain) throw error;
      const { kind, message } = error as StoreFailure;
      // No other writer has this key, so what exists is what an attempt without an answer wrote.
      if (kind === "exists") return;
      const now = conditionalPut ? await this.#fence(key) : await this.#lookFor(key, bytes.length);
      if (now === "exists") return;
      throw new StoreFailure(kind, message, now === "fenced" ? "not-stored" : "unknown", error);
    }
  }

  async putIfAbsent(key: string, bytes: Buffer): Promise<void> {
    await this.#client.send("put", this.#put(key, bytes, true));
  }

  async touch(key: string): Promise<void> {
    await this.#client.send("put", this.#put(key, Buffer.from("probe\n"), false));
  }

  get(key: string, range?: { offset: number; length: number }): Promise<Buffer | undefined> {
    const input = {
      Bucket: this.#bucket,
      Key: this.#prefix + key,
      ...(range !== undefined && { Range: `bytes=${range.offset}-${range.offset + range.length - 1}` }),
    };
    const attempt: Attempt<Buffer> = async (client, options) => {
      const { Body, ContentLength, ContentRange } = await client.send(new GetObjectCommand(input), options);
      const octets = Buffer.from((await Body?.transformToByteArray()) ?? []);
      if (ContentLength !== undefined && octets.length !== ContentLength)
        throw new Error(`the answer has ${octets.length} of ${ContentLength} octets`);
      // A store that does not know ranges sends all of it.
      return range === undefined || ContentRange !== undefined
        ? octets
        : octets.subarray(range.offset, range.offset + range.length);
    };
    return unlessMissing(this.#client.send("get", attempt, { bytes: range?.length ?? wholeBytes }));
  }

  head(key: string): Promise<Omit<ListedObject, "key"> | undefined> {
    return unlessMissing(this.#client.send("head", this.#head(key)));
  }

  async list(start: string): Promise<ListedObject[]> {
    const listed: ListedObject[] = [];
    let ContinuationToken: string | undefined;
    do {
      const input = {
        Bucket: this.#bucket,
        Prefix: this.#prefix + start,
        ...(ContinuationToken && { ContinuationToken }),
      };
      const page = await this.#client.send("list", (client, options) =>
        client.send(new ListObjectsV2Command(input), options),
      );
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key === undefined) continue;
        const key = this.#relative(Key);
        listed.push({ key, size: Size ?? 0, modifiedMs: LastModified?.getTime() ?? 0 });
      }
      ContinuationToken = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (ContinuationToken !== undefined);
    return listed;
  }

  async remove(keys: readonly string[]): Promise<void> {
    for (let start = 0; start < keys.length; start += keysAtOnce) {
      const some = keys.slice(start, start + keysAtOnce);
      if (some.length > 1 && this.capabilities.batchDelete) await this.#removeBatch(some);
      else for (const key of some) await this.#removeOne(key);
    }
  }

  createUpload(key: string): Promise<string> {
    return this.#uploads.create(this.#prefix + key);
  }

  uploadPart(key: string, uploadId: string, number: number, bytes: Buffer): Promise<UploadedPart> {
    return this.#uploads.uploadPart(this.#prefix + key, uploadId, number, bytes);
  }

  async completeUpload(key: string, uploadId: string, parts: UploadedPart[], size: number): Promise<void> {
    try {
      await this.#uploads.complete(this.#prefix + key, uploadId, parts);
    } catch (error) {
      // Completed by an attempt that was not answered: the upload is gone, and the object is there.
      if ((await this.head(key).catch(() => undefined))?.size !== size) throw error;
    }
  }

  abortUpload(key: string, uploadId: string): Promise<void> {
    return this.#uploads.abort(this.#prefix + key, uploadId);
  }

  async openUploads(start: string): Promise<OpenUpload[]> {
    const open = await this.#uploads.list(this.#prefix + start);
    return open.map(({ key, ...rest }) => ({ key: this.#relative(key), ...rest }));
  }

  clockMs(): number | undefined {
    return this.#client.clockMs;
  }

  close(): void {
    this.#client.close();
  }

  #relative(key: string): string {
    return key.slice(this.#prefix.length);
  }

  #put(key: string, Body: Buffer, isConditional: boolean): Attempt<unknown> {
    const condition = isConditional && { IfNoneMatch: "*" };
    const input = { Bucket: this.#bucket, Key: this.#prefix + key, Body, ...condition };
    return (client, options) => client.send(new PutObjectCommand(input), options);
  }

  #head(key: string): Attempt<Omit<ListedObject, "key">> {
    const input = { Bucket: this.#bucket, Key: this.#prefix + key };
    return async (client, options) => {
      const { ContentLength, LastModified } = await client.send(new HeadObjectCommand(input), options);
      return { size: ContentLength ?? 0, modifiedMs: LastModified?.getTime() ?? 0 };
    };
  }

  /** Whether a write without an answer took place, as far as it is seen now. */
  async #lookFor(key: string, size: number): Promise<"exists" | "unknown"> {
    const found = await this.#client.sendOnce("head", this.#head(key)).catch(() => undefined);
    return found?.size === size ? "exists" : "unknown";
  }

  /** Takes the key for an empty object, so that a write that is still on its way fails. */
  async #fence(key: string): Promise<"fenced" | "exists" | "unknown"> {
    try {
      await this.#client.sendOnce("put", this.#put(key, Buffer.alloc(0), true));
      return "fenced";
    } catch (error) {
      return failureKind(error) === "exists" ? "exists" : "unknown";
    }
  }

  async #removeBatch(keys: readonly string[]): Promise<void> {
    const Objects = keys.map((key) => ({ Key: this.#prefix + key }));
    const input = { Bucket: this.#bucket, Delete: { Objects, Quiet: true } };
    try {
      const { Errors } = await this.#client.send("delete", (client, options) =>
        client.send(new DeleteObjectsCommand(input), options),
      );
      for (const { Key } of Errors ?? []) if (Key !== undefined) await this.#removeOne(this.#relative(Key));
    } catch (error) {
      const { kind } = error as StoreFailure;
      if (kind !== "unsupported" && kind !== "refused") throw error;
      for (const key of keys) await this.#removeOne(key);
      // One by one is allowed where many at once are not.
      this.capabilities.batchDelete = false;
    }
  }

  async #removeOne(key: string): Promise<void> {
    const input = { Bucket: this.#bucket, Key: this.#prefix + key };
    await unlessMissing(
      this.#client.send("delete", (client, options) => client.send(new DeleteObjectCommand(input), options)),
    );
  }
}
