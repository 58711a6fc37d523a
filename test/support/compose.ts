/** The compose files as Docker Compose reads them: YAML with merge keys, and variables at their defaults. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";

const words = z.union([z.string(), z.array(z.string())]);

const serviceSchema = z.looseObject({
  image: z.string(),
  build: z.looseObject({ dockerfile: z.string(), target: z.string().optional() }).optional(),
  profiles: z.array(z.string()).default([]),
  entrypoint: words.optional(),
  command: words.optional(),
  user: z.string().optional(),
  init: z.boolean().default(false),
  read_only: z.boolean().default(false),
  cap_drop: z.array(z.string()).default([]),
  cap_add: z.array(z.string()).default([]),
  security_opt: z.array(z.string()).default([]),
  privileged: z.boolean().default(false),
  tmpfs: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  ports: z.array(z.string()).default([]),
  restart: z.string().optional(),
  stop_grace_period: z.string().optional(),
  healthcheck: z
    .strictObject({
      test: z.array(z.string()),
      interval: z.string(),
      timeout: z.string(),
      start_period: z.string().optional(),
      retries: z.number(),
    })
    .optional(),
});

const fileSchema = z.looseObject({
  services: z.record(z.string(), serviceSchema),
  volumes: z.record(z.string(), z.unknown()).default({}),
  networks: z.record(z.string(), z.unknown()).default({}),
});

export type ComposeService = z.infer<typeof serviceSchema>;
export type ComposeFile = z.infer<typeof fileSchema>;

export const root = new URL("../../", import.meta.url).pathname;

/**
 * @param file         from the root of the repository
 * @param environment  of the one who runs Compose
 */
export function readCompose(file: string, environment: Record<string, string> = {}): ComposeFile {
  const text = readFileSync(root + file, "utf8");
  // ${NAME:-default}, ${NAME-default}, ${NAME}
  const expanded = text.replaceAll(
    /\$\{(\w+)(?:(:?)-([^}]*))?\}/g,
    (_, name: string, colon: string, fallback = "") => {
      const value = environment[name];
      return value === undefined || (colon === ":" && value === "") ? fallback : value;
    },
  );
  return fileSchema.parse(parse(expanded, { merge: true }));
}

/** The programs that the Dockerfile puts into the image, by their path there, as files of the repository. */
export function programsOfImage(): Map<string, string> {
  const dockerfile = readFileSync(`${root}deploy/Dockerfile`, "utf8");
  const copies = dockerfile.matchAll(/^COPY (\S+) (\/usr\/local\/bin\/\S+)$/gm);
  return new Map([...copies].map(([, from = "", to = ""]) => [to, root + from]));
}
