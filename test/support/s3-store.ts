/** An S3-speaking store in memory: as much of the protocol as the spool uses, over HTTP. The test closes it. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface TestStoreOptions {
  /** Absent: 127.0.0.1, and any free port. */
  host?: string;
  port?: number;
  bucket?: string;
  accessKeyId?: string;
  /** Objects in one page of a list. */
  pageSize?: number;
  /** What `If-None-Match: *` does: most stores honour it, some ignore it, Swift answers 501. */
  conditionalPut?: "honoured" | "ignored" | "unsupported";
  /** Whether DeleteObjects needs Content-MD5, as on Swift, or is not known at all. */
  batchDelete?: "md5" | "plain" | "unsupported";
}

interface StoredObject {
  bytes: Buffer;
  modifiedMs: number;
}

export interface TestStore {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
  /** By key, with the prefix. */
  objects: Map<string, StoredObject>;
  /** Uploads that are neither completed nor aborted, by id. */
  uploads: Map<string, { key: string; parts: Map<number, Buffer>; startedMs: number }>;
  /** `METHOD operation`, in the order of their arrival. */
  requests: string[];
  /** Added to the clock of the store. */
  clockOffsetMs: number;
  close(): Promise<void>;
}

export async function startTestStore(options: TestStoreOptions = {}): Promise<TestStore> {
  const { host = "127.0.0.1", port = 0, bucket = "mail", accessKeyId = "TESTKEY", pageSize = 1000 } = options;
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const store: TestStore = {
    endpoint: `http://${host}:${(server.address() as AddressInfo).port}`,
    bucket,
    accessKeyId,
    secretAccessKey: "secret-of-the-test-store",
    objects: new Map(),
    uploads: new Map(),
    requests: [],
    clockOffsetMs: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const nowMs = (): number => Date.now() + store.clockOffsetMs;
  let uploads = 0;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://store");
    const [, inBucket, ...rest] = decodeURIComponent(url.pathname).split("/");
    const key = rest.join("/");
    const query = url.searchParams;
    const body = await bodyOf(request);
    const method = request.method ?? "";
    store.requests.push(`${method} ${operationOf(method, key, query)}`);
    response.setHeader("date", new Date(nowMs()).toUTCString());
    if (request.headers.authorization?.includes(`Credential=${accessKeyId}/`) !== true)
      return fail(response, 403, "InvalidAccessKeyId");
    if (inBucket !== bucket) return fail(response, 404, "NoSuchBucket");
    if (query.has("uploads") && method === "GET") return listUploads(response, query);
    if (query.has("uploads")) {
      const id = `upload-${++uploads}`;
      store.uploads.set(id, { key, parts: new Map(), startedMs: nowMs() });
      return send(
        response,
        `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    const uploadId = query.get("uploadId");
    if (uploadId !== null) return multipart(request, response, key, uploadId, query, body);
    if (query.has("delete")) return deleteObjects(request, response, body);
    if (key === "") return list(response, query);
    const object = store.objects.get(key);
    switch (method) {
      case "PUT":
        if (request.headers["if-none-match"] === "*" && options.conditionalPut === "unsupported")
          return fail(response, 501, "NotImplemented");
        if (request.headers["if-none-match"] === "*" && object && options.conditionalPut !== "ignored")
          return fail(response, 412, "PreconditionFailed");
        store.objects.set(key, { bytes: body, modifiedMs: nowMs() });
        response.setHeader("etag", etagOf(body));
        response.end();
        return;
      case "DELETE":
        store.objects.delete(key);
        response.writeHead(204).end();
        return;
      case "GET":
      case "HEAD": {
        if (object === undefined) return fail(response, 404, "NoSuchKey", method === "HEAD");
        response.setHeader("last-modified", new Date(object.modifiedMs).toUTCString());
        response.setHeader("etag", etagOf(object.bytes));
        const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
        if (range?.[1] === undefined || range[2] === undefined) {
          response.setHeader("content-length", object.bytes.length);
          response.end(method === "HEAD" ? undefined : object.bytes);
          return;
        }
        const start = Number(range[1]);
        if (start >= object.bytes.length) return fail(response, 416, "InvalidRange");
        const part = object.bytes.subarray(start, Number(range[2]) + 1);
        const end = start + part.length - 1;
        response.writeHead(206, {
          "content-length": part.length,
          "content-range": `bytes ${start}-${end}/${object.bytes.length}`,
        });
        response.end(part);
        return;
      }
      default:
        return fail(response, 405, "MethodNotAllowed");
    }
  }

  function list(response: ServerResponse, query: URLSearchParams): void {
    const prefix = query.get("prefix") ?? "";
    const after = query.get("continuation-token") ?? "";
    const keys = [...store.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, pageSize);
    const contents = page.map((key) => {
      const { bytes, modifiedMs } = store.objects.get(key) as StoredObject;
      // Stores give whole seconds in lists.
      const modified = new Date(Math.floor(modifiedMs / 1000) * 1000).toISOString();
      return `<Contents><Key>${key}</Key><LastModified>${modified}</LastModified><Size>${bytes.length}</Size></Contents>`;
    });
    const isTruncated = keys.length > page.length;
    const token = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "";
    send(
      response,
      `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${token}${contents.join("")}</ListBucketResult>`,
    );
  }

  function listUploads(response: ServerResponse, query: URLSearchParams): void {
    const prefix = query.get("prefix") ?? "";
    const open = [...store.uploads]
      .filter(([, { key }]) => key.startsWith(prefix))
      .map(
        ([id, { key, startedMs }]) =>
          `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${new Date(startedMs).toISOString()}</Initiated></Upload>`,
      );
    send(
      response,
      `<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>${open.join("")}</ListMultipartUploadsResult>`,
    );
  }

  function multipart(
    request: IncomingMessage,
    response: ServerResponse,
    key: string,
    uploadId: string,
    query: URLSearchParams,
    body: Buffer,
  ): undefined {
    const upload = store.uploads.get(uploadId);
    if (upload?.key !== key) return fail(response, 404, "NoSuchUpload");
    if (request.method === "PUT") {
      upload.parts.set(Number(query.get("partNumber")), body);
      response.setHeader("etag", etagOf(body));
      response.end();
      return;
    }
    store.uploads.delete(uploadId);
    if (request.method === "DELETE") {
      response.writeHead(204).end();
      return;
    }
    const named = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(([, n]) => Number(n));
    const parts = named.map((number) => upload.parts.get(number));
    if (parts.includes(undefined)) return fail(response, 400, "InvalidPart");
    const bytes = Buffer.concat(parts as Buffer[]);
    store.objects.set(key, { bytes, modifiedMs: nowMs() });
    send(response, `<CompleteMultipartUploadResult><Key>${key}</Key></CompleteMultipartUploadResult>`);
  }

  function deleteObjects(request: IncomingMessage, response: ServerResponse, body: Buffer): undefined {
    const { batchDelete = "plain" } = options;
    if (batchDelete === "unsupported") return fail(response, 501, "NotImplemented");
    const md5 = createHash("md5").update(body).digest("base64");
    if (batchDelete === "md5" && request.headers["content-md5"] !== md5)
      return fail(response, 400, "InvalidRequest");
    for (const [, key] of body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)) store.objects.delete(key ?? "");
    send(response, "<DeleteResult></DeleteResult>");
  }

  return store;
}

function operationOf(method: string, key: string, query: URLSearchParams): string {
  if (query.has("uploads") || query.has("uploadId")) return "multipart";
  if (query.has("delete")) return "delete";
  if (key === "") return "list";
  return method === "DELETE" ? "delete" : key;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function etagOf(bytes: Buffer): string {
  return `"${createHash("md5").update(bytes).digest("hex")}"`;
}

function send(response: ServerResponse, xml: string): void {
  response.setHeader("content-type", "application/xml");
  response.end(`<?xml version="1.0" encoding="UTF-8"?>${xml}`);
}

function fail(response: ServerResponse, status: number, code: string, isHead = false): undefined {
  response.statusCode = status;
  if (isHead) response.end();
  else send(response, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
}
