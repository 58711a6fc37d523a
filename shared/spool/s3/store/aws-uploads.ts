/** Multipart uploads by the AWS SDK. Owns nothing: an upload is its caller's until it is completed or aborted. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandInput,
  type ListMultipartUploadsCommandOutput,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { type Requests, unlessMissing } from "./aws-client.ts";
import { type OpenUpload, StoreFailure, type UploadedPart } from "./object-store.ts";

export class AwsUploads {
  readonly #client: Requests;
  readonly #bucket: string;

  constructor(client: Requests, bucket: string) {
    this.#client = client;
    this.#bucket = bucket;
  }

  /** @param Key  with the prefix, as in all calls here */
  async create(Key: string): Promise<string> {
    const command = new CreateMultipartUploadCommand({ Bucket: this.#bucket, Key });
    const { UploadId } = await this.#client.send("multipart", (client, options) =>
      client.send(command, options),
    );
    if (UploadId === undefined) throw new StoreFailure("broken", "the upload has no id", "not-stored");
    return UploadId;
  }

  async uploadPart(Key: string, UploadId: string, PartNumber: number, Body: Buffer): Promise<UploadedPart> {
    const input = { Bucket: this.#bucket, Key, UploadId, PartNumber, Body };
    const { ETag } = await this.#client.send(
      "multipart",
      (client, options) => client.send(new UploadPartCommand(input), options),
      { bytes: Body.length },
    );
    return { number: PartNumber, etag: ETag ?? "" };
  }

  async complete(Key: string, UploadId: string, parts: readonly UploadedPart[]): Promise<void> {
    const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag }));
    const input = { Bucket: this.#bucket, Key, UploadId, MultipartUpload: { Parts } };
    await this.#client.send("multipart", (client, options) =>
      client.send(new CompleteMultipartUploadCommand(input), options),
    );
  }

  async abort(Key: string, UploadId: string): Promise<void> {
    const command = new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key, UploadId });
    await unlessMissing(this.#client.send("multipart", (client, options) => client.send(command, options)));
  }

  async list(Prefix: string): Promise<OpenUpload[]> {
    const open: OpenUpload[] = [];
    let markers: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (markers !== undefined) {
      const input: ListMultipartUploadsCommandInput = { Bucket: this.#bucket, Prefix, ...markers };
      const page: ListMultipartUploadsCommandOutput = await this.#client.send(
        "multipart",
        (client, options) => client.send(new ListMultipartUploadsCommand(input), options),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? [])
        if (Key !== undefined && UploadId !== undefined)
          open.push({ key: Key, uploadId: UploadId, startedMs: Initiated?.getTime() ?? 0 });
      const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
      markers =
        IsTruncated === true && NextKeyMarker !== undefined
          ? { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker && { UploadIdMarker: NextUploadIdMarker }) }
          : undefined;
    }
    return open;
  }
}
