/** The tests' S3-speaking store as a process of its own. Its words: address and port. Answers each message with its requests so far, by operation. */
import { startTestStore } from "../../test/support/s3-store.ts";

/** What it prints once it is ready, as one line of JSON. */
export interface StoreAddress {
  endpoint: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
}

/** By operation: `put`, `get`, `head`, `list`, `delete`, `multipart`. */
export type StoreRequests = Record<string, number>;

const [host = "127.0.0.1", port = "0"] = process.argv.slice(2);
const store = await startTestStore({ host, port: Number(port) });
const counts: StoreRequests = {};

/** The store keeps a line for each request: counted and forgotten, since a run has many. */
function count(): StoreRequests {
  for (const line of store.requests.splice(0)) {
    const [method = "", operation = ""] = line.split(" ");
    const name = ["list", "multipart", "delete"].includes(operation) ? operation : method.toLowerCase();
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

process.on("message", () => process.send?.(count()));
process.on("disconnect", () => process.exit(0));
const { endpoint, bucket, accessKeyId, secretAccessKey } = store;
process.send?.({ endpoint, bucket, accessKeyId, secretAccessKey } satisfies StoreAddress);
