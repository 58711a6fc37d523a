/** A TCP server whose sockets a test ends, resets or stalls. The test stops it. */
import net from "node:net";

export interface RawServer {
  address: string;
  port: number;
  /** Waits for the next connection, unless it is there already. */
  next(): Promise<RawConnection>;
  stop(): Promise<void>;
}

export class RawConnection {
  readonly socket: net.Socket;
  #received = Buffer.alloc(0);
  /** The peer has sent FIN. */
  ended = false;
  /** The error that ended it: ECONNRESET. */
  error: string | undefined;
  closed = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error = error.code;
    });
    socket.on("close", () => {
      this.closed = true;
    });
  }

  get text(): string {
    return this.#received.toString("latin1");
  }

  get octets(): Buffer {
    return this.#received;
  }
}

/** @param options  `address` is 127.0.0.2 when absent; `paused` sockets read nothing until they are resumed */
export async function startRawServer(
  options: { address?: string; paused?: boolean } = {},
): Promise<RawServer> {
  const address = options.address ?? "127.0.0.2";
  const waiting: RawConnection[] = [];
  const sockets = new Set<net.Socket>();
  let wake: (() => void) | undefined;
  const server = net.createServer(
    { allowHalfOpen: true, pauseOnConnect: options.paused === true },
    (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      const connection = new RawConnection(socket);
      if (options.paused) socket.pause();
      waiting.push(connection);
      wake?.();
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, address, resolve);
  });
  return {
    address,
    port: (server.address() as net.AddressInfo).port,
    async next() {
      for (;;) {
        const connection = waiting.shift();
        if (connection !== undefined) return connection;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
