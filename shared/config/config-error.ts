/** Errors in a configuration file, and the paths of values in it. Pure. */

/** Keys and list indexes from the root. */
export type Path = readonly (string | number)[];

export interface ConfigError {
  /** `listeners[0].port`; empty for an error of the file as a whole. */
  path: string;
  /** The file of a list that the line is in. Absent: the configuration file. */
  file?: string;
  /** From 1; 0 when the file could not be read at all. */
  line: number;
  /** Follows the path: `is missing`, `must be true or false`. */
  message: string;
}

/** An error whose line is not known yet. */
export interface Finding {
  path: Path;
  message: string;
  /** The value that it conflicts with; named after the message. */
  other?: Path;
}

export function configErrorAt(path: Path, line: number, message: string): ConfigError {
  return { path: formatPath(path), line, message };
}

/** `postern.yaml:7: listeners[0].port: is missing`. */
export function formatConfigError(file: string, configError: ConfigError): string {
  const name = configError.file ?? file;
  const place = configError.line > 0 ? `${name}:${configError.line}` : name;
  return configError.path === ""
    ? `${place}: ${configError.message}`
    : `${place}: ${configError.path}: ${configError.message}`;
}

/** Without lines: `relay.routes[1] can never match (relay.routes[0])`. */
export function formatFinding({ path, message, other }: Finding): string {
  return `${formatPath(path)} ${message}${other === undefined ? "" : ` (${formatPath(other)})`}`;
}

/** `listeners[0].port`; a key that is not a plain word is quoted: `tls.sni["mail.example.com"].cert`. */
export function formatPath(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (!/^[\w-]+$/.test(step)) text += `[${JSON.stringify(step)}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}

/** Whether `inner` is `outer` or a value within it. */
export function isWithin(inner: Path, outer: Path): boolean {
  return outer.length <= inner.length && outer.every((step, index) => step === inner[index]);
}

/** The value at a path in plain data; `undefined` where there is none. */
export function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}
