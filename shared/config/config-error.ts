/** One mistake in a configuration file, as people read it. */
import { formatPath, type Path } from "./path.ts";

export interface ConfigError {
  /** `listeners[0].port`; empty when it is about the file as a whole. */
  path: string;
  /** From 1; 0 when the file could not be read at all. */
  line: number;
  /** Goes after the path: `is missing`, `must be true or false`. */
  message: string;
}

/** A mistake whose line is not known yet. */
export interface Finding {
  path: Path;
  message: string;
  /** The other place that it clashes with; goes behind the message. */
  other?: Path;
}

export function configErrorAt(path: Path, line: number, message: string): ConfigError {
  return { path: formatPath(path), line, message };
}

/** `postern.yaml:7: listeners[0].port: is missing`. */
export function formatConfigError(file: string, configError: ConfigError): string {
  const place = configError.line > 0 ? `${file}:${configError.line}` : file;
  return configError.path === ""
    ? `${place}: ${configError.message}`
    : `${place}: ${configError.path}: ${configError.message}`;
}
