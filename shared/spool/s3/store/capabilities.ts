/** What this store can do beyond the least that every S3-compatible one can; probe.ts finds out. */
export class Capabilities {
  /** `If-None-Match: *` refuses to replace an object. Until it is known, writes do without. */
  conditionalPut = false;
  /** DeleteObjects removes many objects by one request. */
  batchDelete = true;
}
