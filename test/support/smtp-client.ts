/** An SMTP client that sends exactly the octets that a test gives it. The test closes it. */
import net from "node:net";

export class SmtpClient {
  readonly socket: net.Socket;
  #received = "";
  #closed = false;
  #wake: (() => void) | undefined;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.#received += chunk.toString("latin1");
      this.#wake?.();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#closed = true;
      this.#wake?.();
    });
  }

  /** Connects; does not wait for the greeting. */
  static async connect(port: number, host = "127.0.0.1", localAddress?: string): Promise<SmtpClient> {
    const socket = net.connect({ port, host, ...(localAddress === undefined ? {} : { localAddress }) });
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new SmtpClient(socket);
  }

  /** Sends octets unchanged. */
  write(data: string | Buffer): void {
    this.socket.write(data);
  }

  /** Sends one line and reads the reply to it. */
  async command(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  /**
   * The next whole reply, lines joined by "\n", without line ends.
   * @throws Error when the connection closes before the reply is whole, or after `timeoutMs`
   */
  async reply(timeoutMs = 60_000): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\r?\n/.exec(this.#received);
      if (match) {
        this.#received = this.#received.slice(match[0].length);
        return match[0].replaceAll("\r\n", "\n").trimEnd();
      }
      if (this.#closed)
        throw new Error(`the connection closed; received so far: ${JSON.stringify(this.#received)}`);
      await this.#change(deadline);
    }
  }

  /** Everything that was received and not read as a reply, until the peer closes. */
  async untilClosed(timeoutMs = 60_000): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    while (!this.#closed) await this.#change(deadline);
    return this.#received;
  }

  close(): void {
    this.socket.destroy();
  }

  async #change(deadline: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`time-out; received so far: ${JSON.stringify(this.#received)}`)),
        Math.max(1, deadline - Date.now()),
      );
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
