/** Guards of the parsers, each with the target that has to notice when it is taken out of the source. */
import type { Guard } from "./guard.ts";

export { takeOut } from "./guard.ts";

const ingress = "services/ingress";

/** `endsProcess`: without it the whole process ends, by one allocation that its heap has no room for. */
type TargetGuard = Guard & { target: string; endsProcess?: true };

export const guards: Record<string, TargetGuard> = {
  "a PROXY header of limited length": {
    target: "proxy-header",
    file: `${ingress}/listener/proxy-header.ts`,
    from: "if (length > maxV2Octets) return",
    to: "if (length < 0) return",
  },
  "the checksum of a PROXY header": {
    target: "proxy-header",
    file: `${ingress}/listener/proxy-header.ts`,
    from: "if (crc32c(zeroed) !== header.readUInt32BE(value)) return",
    to: "if (length < 0) return",
  },
  "ports of a PROXY header up to 65535": {
    target: "proxy-header",
    file: `${ingress}/listener/proxy-header.ts`,
    from: "|| port > 65_535 ? undefined",
    to: "? undefined",
  },
  "no control characters in ENVID": {
    target: "smtp-command",
    file: "shared/smtp/xtext.ts",
    from: "return isPrintable(decoded) ? decoded : undefined;",
    to: "return decoded;",
  },
  "no line ends of Unicode in an address": {
    target: "smtp-command",
    file: "shared/mail/address.ts",
    from: "if (code > 127 ? isControl(code) : isAtext",
    to: "if (code > 127 ? false : isAtext",
  },
  "no NUL in a command": {
    target: "smtp-input",
    file: `${ingress}/session/session-input.ts`,
    from: "if (octet === CR || octet === 0) wellFormed = false;",
    to: "if (octet === CR) wellFormed = false;",
  },
  "the rest of a long command line is no command": {
    target: "smtp-input",
    file: `${ingress}/session/session-input.ts`,
    from: "if (this.#overlong || ",
    to: "if (",
  },
  "a bare LF in a message is noticed": {
    target: "message-data",
    file: `${ingress}/message/data-scanner.ts`,
    from: "else if (octet === LF) this.bareNewline = true;",
    to: "",
  },
  "a dot at the beginning of a chunk is stuffed": {
    target: "message-data",
    file: "shared/smtp/dot-stuffing.ts",
    from: "const stuffsFirst = this.#last === lineFeed && chunk[0] === dot;",
    to: "const stuffsFirst = false;",
  },
  "a line of one dot behind a bare newline stops the proxy": {
    target: "message-data",
    file: `${ingress}/outgoing/unclear-end-of-data.ts`,
    from: "return state === afterCr || state === unclearLineStart ? afterUnclearDot : text;",
    to: "return text;",
  },
  "no more of a reply is kept than 64 KB": {
    target: "smtp-reply",
    file: "shared/smtp/reply-reader.ts",
    from: "const room = maxKeptOctets - this.#kept.length;",
    to: "const room = Number.MAX_SAFE_INTEGER;",
  },
  "no control characters in the reply of a server": {
    target: "smtp-reply",
    file: "shared/smtp/parse-reply.ts",
    from: '.replace(controls, " ")',
    to: "",
  },
  "a BDAT chunk ends where it ends": {
    target: "proxy-dialogue",
    file: `${ingress}/outgoing/client-framing.ts`,
    from: "const next = Math.min(chunk.length, at + this.#chunkLeft);",
    to: "const next = Math.min(chunk.length, at + this.#chunkLeft + 1);",
  },
  "no BDAT for a server without CHUNKING": {
    target: "proxy-dialogue",
    file: `${ingress}/outgoing/strict-lines.ts`,
    from: "if (!offers.chunking) return",
    to: "if (line.length < 0) return",
  },
  "the pieces of a pattern do not overlap": {
    target: "address",
    file: "shared/queue/holds/pattern.ts",
    from: "if (found < 0 || found + piece.length > end) return false;",
    to: "if (found < 0) return false;",
  },
  "a HELO name cannot leave its comment in Received": {
    target: "address",
    file: "shared/mail/received.ts",
    from: '.replace(/[^\\x21-\\x7e]|[()\\\\]/g, "?")',
    to: "",
  },
  "no empty password": {
    target: "sasl",
    file: `${ingress}/session/sasl.ts`,
    from: 'if (password === "" || ',
    to: "if (",
  },
  "a policy lives for a year at most": {
    target: "mta-sts",
    file: "shared/smtp-client/tls/sts/policy.ts",
    from: "Math.min(Number(maxAge), maxMaxAgeSeconds)",
    to: "Number(maxAge)",
  },
  "a line of spaces takes linear time": {
    target: "mta-sts",
    file: "shared/smtp-client/tls/sts/policy.ts",
    from: "const trimmed = withoutSpaceBehind(raw);",
    to: 'const trimmed = raw.replace(/[ \\t]+$/, "");',
  },
  "an unreadable reply of a name server is no reply": {
    target: "dns-reply",
    file: "shared/smtp-client/dns/packet.ts",
    from: "  } catch {\n    return undefined;\n  }\n",
    to: "  } finally {\n  }\n",
  },
  "an unreadable record is a failure of the name server": {
    target: "dns-reply",
    file: "shared/smtp-client/dns/packet.ts",
    from: "rcode: isDamaged ? Packet.RCODE.SERVFAIL : header.rcode,",
    to: "rcode: header.rcode,",
  },
  "a certificate is for the names in it": {
    target: "certificate",
    file: "shared/smtp-client/tls/server-proof.ts",
    from: "if (leaf !== undefined && isFor(leaf, host, proof.dnsIdOnly)) return",
    to: "if (leaf !== undefined) return",
  },
  "the checksum of a status log": {
    target: "status-log",
    file: "shared/spool/records/status-format.ts",
    from: "if (crc32(bytes.subarray(start, end), crc32(head[1])) !== Number.parseInt(head[3], 16))",
    to: "if (start > end)",
  },
  "a status entry that cannot be read hides no other": {
    target: "status-log",
    file: "shared/spool/records/status-format.ts",
    from: "  } catch {\n    return undefined;\n  }\n",
    to: "  } finally {\n  }\n",
  },
  "recipients of a status entry that can be counted": {
    target: "status-log",
    file: "shared/spool/records/status-format.ts",
    from: "if (!recipientList.test(list)) return undefined;",
    to: "",
    endsProcess: true,
  },
  "the checksum of a record's header": {
    target: "spool-segment",
    file: "shared/spool/records/record.ts",
    from: "if (crc32(source.subarray(at, at + 36), seed) !== checksum) return undefined;",
    to: "",
  },
  "a job's times are dates": {
    target: "job-payload",
    file: "shared/queue/contract/contract.ts",
    from: "receivedAtMs: epochMs,",
    to: "receivedAtMs: z.number(),",
  },
  "an event's time is a date": {
    target: "event",
    file: "shared/events/event.ts",
    from: "isTime(at)",
    to: 'typeof at === "number"',
  },
  "an event has a bounded number of words": {
    target: "event",
    file: "shared/events/event.ts",
    from: " && words.length < maxWords",
    to: "",
  },
  "a bad request is no bug": {
    target: "admin-request",
    file: "services/admin/server.ts",
    from: "if (status >= 400 && status < 500) return",
    to: "if (status < 0) return",
  },
  "a text with ${ is shown so that it is read as text": {
    target: "config-file",
    file: "shared/config/source.ts",
    from: '.replaceAll("${", () => "$${")',
    to: '.replaceAll("${", "$${")',
  },
  "a password hash of bounded work": {
    target: "user-file",
    file: "shared/users/password-hash.ts",
    from: "if (128 * cost * blockSize > maxMemoryBytes || ",
    to: "if (cost < 0 && ",
  },
  "ports of endpoints up to 65535": {
    target: "network-text",
    file: "shared/net/endpoint.ts",
    from: "if (address === undefined || port < 1 || port > 65_535) return undefined;",
    to: "if (address === undefined) return undefined;",
  },
  "the sender of an mbox is found in linear time": {
    target: "import-file",
    file: "shared/mail/import-source.ts",
    from: "/^From (\\S+) /",
    to: "/^From (\\S+@\\S+) /",
  },
};
