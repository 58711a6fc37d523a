/**
 * Traces of mail by OpenTelemetry, from the session to the delivery: `tracing` of the configuration. The packages are
 * loaded only where it is set. A span is made with the times that were measured anyway; what links the spans of several
 * processes is the W3C traceparent in the message's record.
 * Owns the exporter and its timer; close() sends what is left.
 */
import type { Attributes, Context, Span } from "@opentelemetry/api";
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import type { Config } from "../config/schema.ts";
import type { Logger } from "./log.ts";
import type { TracingMetrics } from "./tracing-metrics.ts";
import { settlesWithin } from "./with-timeout.ts";

export interface TraceSpan {
  /** For what follows from it, in this process or another (W3C Trace Context §3.2). */
  readonly traceparent: string;
  /** @param failed  one line, when it did not do what it was for */
  end(endMs: number, facts?: { attributes?: Attributes; failed?: string | undefined }): void;
}

/** Times are epoch milliseconds. Attributes name neither addresses nor contents of mail. */
export interface Tracing {
  /** @returns `undefined` for what is not in the sample */
  startTrace(name: string, startMs: number, attributes: Attributes): TraceSpan | undefined;
  /** @returns `undefined` when `parent` is no traceparent */
  startSpan(name: string, parent: string, startMs: number, attributes?: Attributes): TraceSpan | undefined;
  close(): Promise<void>;
}

export interface TracingOptions {
  tracing: NonNullable<Config["tracing"]>;
  service: string;
  hostname: string;
  version: string;
  metrics: TracingMetrics;
  log: Logger;
  /** 0..1; for tests. */
  random?: () => number;
}

/** W3C Trace Context §3.2: version, trace id, parent id, flags. */
const traceparentForm = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;
const closeMs = 2_000;
/** Between two exports. */
const everyMs = 2_000;
/** A collector that hangs must not keep spans for long. */
const exportMs = 5_000;

export async function createTracing(options: TracingOptions): Promise<Tracing> {
  const { service, hostname, version, metrics, log, random = Math.random } = options;
  const { otlp, sample } = options.tracing;
  const [
    { trace, ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags },
    sdk,
    { OTLPTraceExporter },
    resources,
  ] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/resources"),
  ]);
  const exporter = new OTLPTraceExporter({ url: exportUrl(otlp), timeoutMillis: exportMs });
  let isFailing = false;
  const counted: SpanExporter = {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const isTaken = result.code === 0;
        if (isTaken) metrics.exported(spans.length);
        else metrics.failed(spans.length);
        if (isTaken === isFailing) {
          isFailing = !isTaken;
          if (isFailing)
            log.warn({ err: result.error, otlp: collectorName(otlp) }, "traces cannot be exported");
          else log.info("traces are exported again");
        }
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  };
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({
      "service.name": `postern-${service}`,
      "service.namespace": "postern",
      "service.version": version,
      "service.instance.id": `${hostname}:${process.pid}`,
      "host.name": hostname,
    }),
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: counted,
        exportTimeoutMillis: exportMs,
        scheduledDelayMillis: everyMs,
      }),
    ],
    // Who is in the sample was decided before.
    sampler: new sdk.AlwaysOnSampler(),
  });
  const tracer = provider.getTracer("postern", version);

  function start(
    name: string,
    startMs: number,
    attributes: Attributes,
    context: Context,
    kind = SpanKind.INTERNAL,
  ) {
    return spanOf(tracer.startSpan(name, { startTime: startMs, attributes, kind }, context));
  }

  function spanOf(span: Span): TraceSpan {
    const { traceId, spanId } = span.spanContext();
    return {
      traceparent: `00-${traceId}-${spanId}-01`,
      end(endMs, { attributes, failed } = {}) {
        if (attributes !== undefined) span.setAttributes(attributes);
        if (failed !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failed });
        span.end(endMs);
      },
    };
  }

  return {
    startTrace(name, startMs, attributes) {
      if (random() >= sample) return undefined;
      return start(name, startMs, attributes, ROOT_CONTEXT, SpanKind.SERVER);
    },
    startSpan(name, parent, startMs, attributes = {}) {
      const [, traceId, spanId] = traceparentForm.exec(parent) ?? [];
      if (traceId === undefined || spanId === undefined) return undefined;
      const context = { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true };
      return start(name, startMs, attributes, trace.setSpanContext(ROOT_CONTEXT, context));
    },
    async close() {
      await settlesWithin(
        provider.shutdown().catch(() => {}),
        closeMs,
      );
    },
  };
}

/** A collector's address without a path is that of its traces. */
export function exportUrl(otlp: string): string {
  const url = new URL(otlp);
  if (url.pathname === "/") url.pathname = "/v1/traces";
  return url.href;
}

/** For the log: the collector's address, which may have a password or a token, without user and query. */
function collectorName(otlp: string): string {
  const { origin, pathname } = new URL(exportUrl(otlp));
  return `${origin}${pathname}`;
}
