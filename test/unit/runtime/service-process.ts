/** A small service in a process of its own, for tests of how services start, answer and end. */
import { configSchema } from "../../../shared/config/schema.ts";
import { runService } from "../../../shared/runtime/run-service.ts";

const [behaviour = "", redisUrl = ""] = process.argv.slice(2);
const config = configSchema.parse({
  hostname: "gw.example.net",
  listeners: [{ name: "submission", port: 0 }],
  ...(redisUrl === "" ? {} : { redis: { url: redisUrl } }),
});

await runService(
  "delivery",
  async ({ metrics, log }) => {
    if (behaviour === "cannot-start") throw new Error("the port is taken");
    metrics.counter("things_total", "Things.").with().add(5);
    if (behaviour === "throws") setTimeout(() => Promise.reject(new Error("nobody handles this")), 50);
    const open = setInterval(() => {}, 1_000);
    return {
      health: () =>
        behaviour === "not-ready" ? { ready: false, reasons: ["no Redis"] } : { ready: true, reasons: [] },
      prepare: async () => () => {},
      async close(graceMs) {
        log.info({ graceMs }, "closing");
        if (behaviour === "never-ends") await new Promise(() => {});
        clearInterval(open);
      },
    };
  },
  { config, configFile: "postern.yaml", graceMs: 200 },
);
