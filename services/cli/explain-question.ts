/** The question of `postern explain`: its addresses, parsed from the command line. Pure. */
import { parsePath } from "../../shared/mail/address.ts";
import { type Endpoint, parseEndpoint } from "../../shared/net/endpoint.ts";
import { canonicalAddress } from "../../shared/net/network.ts";
import { unreachable } from "../../shared/unreachable.ts";
import { UsageError } from "./command-line/command.ts";

export interface Question {
  client: Endpoint;
  server: Endpoint;
  from: string | null;
  to: { address: string; sourceRoute: boolean }[];
  authenticated: boolean;
  user: string | undefined;
}

export function readClient(text: string): string {
  const address = canonicalAddress(text);
  if (address === undefined) throw new UsageError(`needs an IP address for --client, not '${text}'`);
  return address;
}

export function readServer(text: string): Endpoint {
  const endpoint = parseEndpoint(text, 25);
  if (endpoint === undefined)
    throw new UsageError(`needs IP, IPv4:PORT or [IPv6]:PORT for --server, not '${text}'`);
  return endpoint;
}

export function readSender(text: string): string {
  if (text === "" || text === "<>") return "";
  return readMailbox("--from", text).address;
}

export function readRecipient(text: string): { address: string; sourceRoute: boolean } {
  return readMailbox("--to", text);
}

function readMailbox(option: string, text: string): { address: string; sourceRoute: boolean } {
  const path = text.startsWith("<") ? text : `<${text}>`;
  const parsed = parsePath(path, 0);
  switch (parsed.kind) {
    case "mailbox":
      if (parsed.end === path.length) return parsed;
      break;
    case "unqualified":
      return { address: parsed.localPart, sourceRoute: false };
    case "null":
    case "invalid":
      break;
    default:
      return unreachable(parsed);
  }
  throw new UsageError(`needs a mail address for ${option}, not '${text}'`);
}
