/** A collector of traces: takes OTLP over HTTP in JSON, and keeps the spans. The test closes it. */
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface CollectedSpan {
  /** `service.name` of its resource. */
  service: string;
  name: string;
  traceId: string;
  spanId: string;
  /** "" for the root. */
  parentSpanId: string;
  startMs: number;
  endMs: number;
  attributes: Record<string, unknown>;
  /** The message of a status that is an error. */
  failed?: string;
}

export interface OtlpCollector {
  url: string;
  spans: CollectedSpan[];
  /** Answers 400 from now on, or no longer: the exporter does not repeat that. */
  fail(isFailing: boolean): void;
  close(): Promise<void>;
}

interface OtlpValue {
  stringValue?: string;
  intValue?: string | number;
  doubleValue?: number;
  boolValue?: boolean;
}
type OtlpAttributes = { key: string; value: OtlpValue }[];
interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: OtlpAttributes;
  status?: { code?: number; message?: string };
}
interface OtlpRequest {
  resourceSpans: {
    resource: { attributes: OtlpAttributes };
    scopeSpans: { spans: OtlpSpan[] }[];
  }[];
}

export async function startOtlpCollector(): Promise<OtlpCollector> {
  const spans: CollectedSpan[] = [];
  let isFailing = false;
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (isFailing || request.url !== "/v1/traces" || request.headers["content-type"] !== "application/json") {
      response.writeHead(isFailing ? 400 : 404).end();
      return;
    }
    const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as OtlpRequest;
    for (const { resource, scopeSpans } of body.resourceSpans) {
      const service = String(valuesOf(resource.attributes)["service.name"]);
      spans.push(...scopeSpans.flatMap((scope) => scope.spans.map((span) => collected(service, span))));
    }
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    fail(failing) {
      isFailing = failing;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function collected(service: string, span: OtlpSpan): CollectedSpan {
  const { name, traceId, spanId, parentSpanId = "", status, attributes = [] } = span;
  return {
    service,
    name,
    traceId,
    spanId,
    parentSpanId,
    startMs: Number(BigInt(span.startTimeUnixNano) / 1_000_000n),
    endMs: Number(BigInt(span.endTimeUnixNano) / 1_000_000n),
    attributes: valuesOf(attributes),
    // STATUS_CODE_ERROR of OTLP.
    ...(status?.code === 2 ? { failed: status.message ?? "" } : {}),
  };
}

function valuesOf(attributes: OtlpAttributes): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? value.boolValue ?? Number(value.intValue ?? value.doubleValue),
    ]),
  );
}
