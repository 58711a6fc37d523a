/** A proxy in front of an S3-compatible store that does to requests what networks and stores do. The test closes it. */
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request as openRequest,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

export type Fault =
  /** The store refuses: 500, or 503 SlowDown. */
  | { do: "refuse"; status: number; code: string }
  /** The connection breaks before the request takes place. */
  | { do: "reset" }
  /** The request takes place, and its answer is lost. */
  | { do: "lose" }
  /** The connection breaks, and the request takes place when release() is called. */
  | { do: "delay" }
  /** Half of the answer, then the end of the connection. */
  | { do: "truncate" }
  /** The answer of the last request of the same kind, if there was one. */
  | { do: "stale" };

export const slowDown: Fault = { do: "refuse", status: 503, code: "SlowDown" };
export const serverError: Fault = { do: "refuse", status: 500, code: "InternalError" };

export interface ProxiedRequest {
  method: string;
  /** With the query. */
  path: string;
  isList: boolean;
}

export interface FaultProxy {
  endpoint: string;
  /** Asked for each request; undefined: it passes. */
  decide: (request: ProxiedRequest) => Fault | undefined;
  /** Requests that are delayed. */
  readonly delayed: number;
  /** Sends the delayed requests to the store. @returns the statuses of its answers */
  release(): Promise<number[]>;
  close(): Promise<void>;
}

interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

/** @param target  the endpoint of the store */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const answers = new Map<string, Answer>();
  let delayed: (() => Promise<number>)[] = [];

  const forward = (request: IncomingMessage, body: Buffer): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { method, url, headers } = request;
      const onward: ClientRequest = openRequest(
        { hostname, port, method, path: url, headers, agent: false },
        (answer) => {
          bodyOf(answer).then(
            (bytes) => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: bytes }),
            reject,
          );
        },
      );
      onward.on("error", reject);
      onward.end(body);
    });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "" } = request;
    const isList = path.includes("list-type=2");
    const body = await bodyOf(request);
    const fault = proxy.decide({ method, path, isList });
    switch (fault?.do) {
      case "refuse":
        response.writeHead(fault.status, { "content-type": "application/xml" });
        response.end(`<Error><Code>${fault.code}</Code><Message>as the test says</Message></Error>`);
        return;
      case "reset":
        response.destroy();
        return;
      case "delay":
        delayed.push(async () => (await forward(request, body)).status);
        response.destroy();
        return;
    }
    const stale = fault?.do === "stale" ? answers.get(path) : undefined;
    const { status, headers, body: bytes } = stale ?? (await forward(request, body));
    if (isList) answers.set(path, { status, headers, body: bytes });
    if (fault?.do === "lose") {
      response.destroy();
      return;
    }
    response.writeHead(status, headers);
    if (fault?.do === "truncate") {
      response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
      return;
    }
    response.end(bytes);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide: () => undefined,
    get delayed() {
      return delayed.length;
    },
    release() {
      const all = delayed;
      delayed = [];
      return Promise.all(all.map((send) => send()));
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return proxy;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
