/** A parsed configuration for tests: the given keys, and defaults for all others. */
import type { z } from "zod";
import { type Config, configSchema } from "../../shared/config/schema.ts";

type Given = Partial<z.input<typeof configSchema>>;

export function testConfig(given: Given = {}): Config {
  return configSchema.parse({
    hostname: "gw.example.net",
    listeners: [{ name: "submission", address: "127.0.0.1", port: 0 }],
    admin: { port: 0 },
    ...given,
  });
}
