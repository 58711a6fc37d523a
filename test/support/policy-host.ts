/** An HTTPS server on loopback that serves the MTA-STS policy or the response that a test sets. The test stops it. */
import type http from "node:http";
import https from "node:https";
import type net from "node:net";
import type { Certificate } from "./certificate.ts";

export interface PolicyHost {
  port: number;
  /** `HOST PATH` of every request, in order. */
  requests: string[];
  /** Sets the response of further requests: the text of a policy, or any other. */
  serve(answer: string | http.RequestListener): void;
  stop(): Promise<void>;
}

export async function startPolicyHost(certificate: Certificate, policy: string): Promise<PolicyHost> {
  let answer: string | http.RequestListener = policy;
  const requests: string[] = [];
  const server = https.createServer(certificate, (request, response) => {
    requests.push(`${request.headers.host?.replace(/:\d+$/, "")} ${request.url}`);
    if (typeof answer === "function") return answer(request, response);
    response.writeHead(200, { "content-type": "text/plain" }).end(answer);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    requests,
    serve(given) {
      answer = given;
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The text of a policy. */
export function policyText(mode: string, mx: string[], maxAgeSeconds = 604_800): string {
  return [
    "version: STSv1",
    `mode: ${mode}`,
    ...mx.map((host) => `mx: ${host}`),
    `max_age: ${maxAgeSeconds}\n`,
  ].join("\n");
}
