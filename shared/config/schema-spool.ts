/** Schema of the spool. */
import { z } from "zod";
import { duration, size, text } from "./values.ts";

const s3 = z.strictObject({
  bucket: text.describe(
    "The bucket, which must exist. Gateways with the same bucket and prefix share a spool.",
  ),
  prefix: z
    .string()
    .regex(/^([A-Za-z0-9._=-]+\/)*$/, "is not a prefix: write gw1/ or mail/gw1/, or nothing")
    .default("")
    .describe(
      "What all keys of the spool begin with; it ends with `/`. Empty: the whole bucket is the spool's.",
    ),
  endpoint: z
    .string()
    .regex(/^https?:\/\/[^\s/]+\/?$/, "is not an endpoint: write https://host or http://host:port")
    .optional()
    .describe("The URL of the store. Absent: Amazon S3 in `region`."),
  region: text.default("us-east-1").describe("The region that requests are signed for."),
  path_style: z
    .boolean()
    .optional()
    .describe(
      "`true`: the bucket stands in the path of the URL, which most stores of one's own want; `false`: in the host name. Absent: `true` with an `endpoint`.",
    ),
  batch: duration
    .prefault("50ms")
    .describe(
      "How long a message waits for others that share its object, 20ms to 250ms. Longer: fewer requests, and a later 250. The same for what is recorded of recipients.",
    ),
  cache: size
    .prefault("256MB")
    .describe(
      "Room for copies of what the processes of this host have written in the last minutes, in `spool-cache` in the data directory: a worker beside the ingress reads them instead of the store.",
    ),
  timeout: duration
    .prefault("10s")
    .describe(
      "How long one attempt of a request may take, on top of the time for its octets. It is repeated for 30 s.",
    ),
  access_key_id: text
    .optional()
    .describe(
      "It needs `secret_access_key`. Absent: as the AWS SDK finds credentials, in `AWS_ACCESS_KEY_ID` and so on, its files, or the role of the machine or pod.",
    ),
  secret_access_key: text
    .optional()
    .describe("An environment variable keeps it out of the file. Absent: as with `access_key_id`."),
  session_token: text.optional().describe("Of temporary credentials. Absent: they last."),
});

export const spool = z.strictObject({
  s3: s3
    .optional()
    .describe(
      "An S3-compatible store, for gateways on hosts that share no file system. Absent: the directory `spool` in `data`.",
    ),
});
