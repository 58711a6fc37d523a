/**
 * The fields of a log line under the names of the Elastic Common Schema (ECS 8.17): https://www.elastic.co/docs/reference/ecs
 * What it has no name for stands below `postern`. Pure.
 */

type Fields = Record<string, unknown>;

/** In every line. */
export function ecsBase(service: string, pid: number): Fields {
  return {
    "ecs.version": "8.17.0",
    service: { name: service, type: "postern" },
    process: { pid },
  };
}

/** The name of a field in ECS, as a path. */
const names: Record<string, string> = {
  id: "email.local_id",
  messageId: "email.message_id",
  client: "source.ip",
  clientPort: "source.port",
  user: "user.name",
  by: "user.name",
};

/** Of `tls`, which our lines have as an object. */
const tlsNames: Record<string, string> = {
  cipher: "tls.cipher",
  peer: "tls.client.server_name",
};

/** @param fields  of a line, with our names */
export function ecsFields(fields: Fields): Fields {
  const line: Fields = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (name === "event") put(line, "event.action", value);
    else if (name === "from") put(line, "email.from.address", [value]);
    else if (name === "to") put(line, "email.to.address", Array.isArray(value) ? value : [value]);
    else if (name === "ms" || name === "durationMs") putDuration(line, value);
    else if (name === "tls") putTls(line, value);
    else if (name === "err") put(line, "error", describeError(value));
    else put(line, names[name] ?? `postern.${name}`, value);
  }
  return line;
}

/** ECS has the duration of an event in nanoseconds. */
function putDuration(line: Fields, ms: unknown): void {
  put(line, "event.duration", typeof ms === "number" ? Math.round(ms * 1e6) : ms);
}

/** `{ protocol: "TLSv1.3", cipher, policy, … }`, or the bare protocol of a session with a client. */
function putTls(line: Fields, tls: unknown): void {
  if (typeof tls === "string") putTlsVersion(line, tls);
  if (typeof tls !== "object" || tls === null) return;
  for (const [name, value] of Object.entries(tls)) {
    if (name === "protocol") putTlsVersion(line, String(value));
    else put(line, tlsNames[name] ?? `postern.tls.${name}`, value);
  }
}

function putTlsVersion(line: Fields, protocol: string): void {
  put(line, "tls.established", true);
  const match = /^(TLS|SSL)v(\d(?:\.\d)?)$/.exec(protocol);
  put(line, "tls.version_protocol", match?.[1]?.toLowerCase() ?? protocol);
  if (match?.[2] !== undefined) put(line, "tls.version", match[2]);
}

function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code } = error as NodeJS.ErrnoException;
  const { name, message, stack } = error;
  return {
    type: name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(stack === undefined ? {} : { stack_trace: stack }),
  };
}

function put(line: Fields, path: string, value: unknown): void {
  const parts = path.split(".");
  const last = parts.pop() as string;
  let place = line;
  for (const part of parts) {
    const below = place[part];
    if (typeof below === "object" && below !== null) place = below as Fields;
    else {
      const made: Fields = {};
      place[part] = made;
      place = made;
    }
  }
  place[last] = value;
}
