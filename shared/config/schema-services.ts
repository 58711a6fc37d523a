/** What the services stand on and answer at: Redis, DNS, health, administration. */
import { z } from "zod";
import { listenPort, server, text } from "./values.ts";

export const redis = z.strictObject({
  url: z
    .string()
    .regex(
      /^(rediss?|unix):\/\//,
      "is not a Redis URL: write redis://host:6379/0, rediss://… or unix:///path",
    )
    .optional()
    .describe(
      "`redis://host:6379/0`, `rediss://…` with TLS, or `unix:///path`. Give this, `sentinels` or `cluster`.",
    ),
  sentinels: z.array(server).min(1).optional().describe("Sentinel addresses; `name` is then needed."),
  name: text.optional().describe("The sentinel group's name."),
  cluster: z.array(server).min(1).optional().describe("Some nodes of a Redis Cluster."),
  username: text.optional().describe("User name of the ACL. Absent: the default user."),
  password: text.optional().describe("Password; an environment variable keeps it out of the file."),
  tls: z
    .strictObject({
      ca: text.optional().describe("PEM file with the authorities to trust. Absent: the system's."),
      cert: text.optional().describe("PEM file with our own certificate; `key` is then needed."),
      key: text.optional().describe("PEM file with its private key."),
      servername: text.optional().describe("The name that the certificate must carry. Absent: the host's."),
    })
    .optional()
    .describe(
      "TLS towards Redis; files are relative to the configuration file. Absent: only with `rediss://`.",
    ),
});

export const dns = z.strictObject({
  servers: z
    .array(text)
    .min(1)
    .describe("`address`, `address:port` or `[v6]:port`, asked in this order; port 53 when none is given."),
});

export const health = z.strictObject({
  address: z.string().default("127.0.0.1").describe("An IP address of this machine."),
  port: listenPort.default(0).describe("The TCP port; 0 takes any free one, which the log names."),
});

export const admin = z.strictObject({
  address: z.string().default("127.0.0.1").describe("An IP address of this machine."),
  port: listenPort.default(8025).describe("The TCP port; 0 takes any free one, which the log names."),
  token: text
    .optional()
    .describe("The bearer token that writes need. Absent: `postern up` makes one in `data/admin.token`."),
});
