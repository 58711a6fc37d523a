/** Fetches the MTA-STS policy of a domain over HTTPS (RFC 8461 §3.3). Each fetch opens and closes its own connection. */
import { X509Certificate } from "node:crypto";
import https from "node:https";
import type net from "node:net";
import type tls from "node:tls";
import { isForHost } from "../../../net/certificate-name.ts";
import type { Resolver } from "../../dns/resolver.ts";
import { type ParsedPolicy, parseStsPolicy } from "./policy.ts";

export type FetchedPolicy =
  | { kind: "fetched"; text: string; policy: Extract<ParsedPolicy, { kind: "policy" }>["policy"] }
  | { kind: "failed"; reason: string };

export interface PolicyServers {
  resolver: Resolver;
  /** The trusted authorities. */
  secureContext: () => tls.SecureContext;
  /** 443, except in tests. */
  port: number;
  /** For the whole exchange. */
  timeoutMs: number;
}

/** RFC 8461 §3.3: "a suggested limit is 64 kilobytes". */
const maxPolicyOctets = 64 * 1024;

/** @param domain  in A-labels */
export async function fetchPolicy(
  domain: string,
  servers: PolicyServers,
  signal: AbortSignal,
): Promise<FetchedPolicy> {
  const inTime = AbortSignal.timeout(servers.timeoutMs);
  try {
    const text = await get(`mta-sts.${domain}`, servers, AbortSignal.any([signal, inTime]));
    const parsed = parseStsPolicy(text);
    if (parsed.kind === "policy") return { kind: "fetched", text, policy: parsed.policy };
    return { kind: "failed", reason: `the policy is not valid: ${parsed.reason}` };
  } catch (error) {
    const { message } = error as Error;
    return { kind: "failed", reason: inTime.aborted ? "the policy did not come in time" : message };
  }
}

function get(host: string, servers: PolicyServers, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    // Node passes this option on to tls.connect(), which its types do not say.
    const options: https.RequestOptions & Pick<tls.ConnectionOptions, "secureContext"> = {
      host,
      port: servers.port,
      path: "/.well-known/mta-sts.txt",
      headers: { accept: "text/plain" },
      agent: false,
      lookup: lookupWith(servers.resolver),
      servername: host,
      secureContext: servers.secureContext(),
      rejectUnauthorized: true,
      checkServerIdentity: (_, { raw }) => identityError(raw, host),
      signal,
    };
    const request = https.get(options, (response) => {
      const refuse = (reason: string) => {
        request.destroy();
        reject(new Error(reason));
      };
      // RFC 8461 §3.3: "HTTP 3xx redirects MUST NOT be followed"; only a 200 carries a policy.
      if (response.statusCode !== 200) return refuse(`HTTP status ${response.statusCode}`);
      const type = response.headers["content-type"] ?? "none";
      // RFC 8461 §3.3: otherwise a site where anybody may store files could publish a policy for the domain.
      if (!/^text\/plain\s*(;|$)/i.test(type)) return refuse(`the media type is ${type}, not text/plain`);
      const chunks: Buffer[] = [];
      let octets = 0;
      response.on("data", (chunk: Buffer) => {
        octets += chunk.length;
        if (octets > maxPolicyOctets) refuse("the policy is larger than 64 KB");
        else chunks.push(chunk);
      });
      response.on("error", reject);
      response.on("end", () => {
        try {
          resolve(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
        } catch {
          reject(new Error("the policy is not UTF-8"));
        }
      });
    });
    request.on("error", reject);
  });
}

/** RFC 8461 §3.3: a DNS-ID in the certificate; the common name does not count. */
function identityError(raw: Buffer, host: string): Error | undefined {
  if (isForHost(new X509Certificate(raw), host, false)) return undefined;
  return new Error(`the certificate is not for ${host}`);
}

/** Looks addresses up with the gateway's resolver instead of the system's. */
function lookupWith(resolver: Resolver): net.LookupFunction {
  return (name, options, callback) => {
    void Promise.all([resolver.a(name), resolver.aaaa(name)]).then(([a, aaaa]) => {
      const v4 = a.kind === "found" ? a.records.map((address) => ({ address, family: 4 })) : [];
      const v6 = aaaa.kind === "found" ? aaaa.records.map((address) => ({ address, family: 6 })) : [];
      const all = [...v4, ...v6];
      const [first] = all;
      if (first === undefined) callback(new Error(`${name} has no address`), "", 0);
      else if (options.all === true) callback(null, all);
      else callback(null, first.address, first.family);
    });
  };
}
