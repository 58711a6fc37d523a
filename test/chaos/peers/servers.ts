/** The mail servers of the run. Each records what it takes and refuses, and does at times what servers do. The run stops them. */
import { setTimeout as wait } from "node:timers/promises";
import { crc32 } from "node:zlib";
import {
  type Answer,
  hang,
  type ReceivedMessage,
  reset,
  type SmtpPeer,
  startSmtpPeer,
  usualExtensions,
} from "../../support/smtp-peer.ts";
import type { Recorder } from "../history/recorder.ts";
import type { Random } from "../random.ts";
import { type Domain, domains } from "./domains.ts";
import { isIntact, messageIdOf, readReport } from "./report.ts";
import { type Step, type Whim, whimAt } from "./temper.ts";

export interface Servers {
  ports: Record<string, number>;
  /** From now on nothing goes wrong any more. */
  calm(): void;
  stop(): Promise<void>;
}

/** @param processOf  the process that delivers from an address */
export async function startServers(
  recorder: Recorder,
  random: Random,
  processOf: (address: string) => string | undefined,
): Promise<Servers> {
  const calm = new AbortController();
  const started: SmtpPeer[] = [];
  const ports: Record<string, number> = {};
  for (const [name, domain] of Object.entries(domains)) {
    const server = new ChaosServer(name, domain, recorder, random.fork(name), processOf, calm.signal);
    const peer = await server.start();
    started.push(peer);
    ports[name] = peer.port;
  }
  return {
    ports,
    calm() {
      calm.abort();
      // Sessions that hang must not go on doing so.
      for (const peer of started) peer.dropAll();
    },
    stop: async () => void (await Promise.all(started.map((peer) => peer.stop()))),
  };
}

/** The same recipients each time. @param share  of all recipients, 0..1 */
export function isRefused(address: string, share: number): boolean {
  return crc32(address) / 2 ** 32 < share;
}

class ChaosServer {
  readonly #name: string;
  readonly #domain: Domain;
  readonly #recorder: Recorder;
  readonly #random: Random;
  readonly #processOf: (address: string) => string | undefined;
  /** Aborted when nothing goes wrong any more. */
  readonly #calm: AbortSignal;
  /** When the transaction of each connection began. */
  readonly #began = new Map<number, number>();

  constructor(
    name: string,
    domain: Domain,
    recorder: Recorder,
    random: Random,
    processOf: (address: string) => string | undefined,
    calm: AbortSignal,
  ) {
    this.#name = name;
    this.#domain = domain;
    this.#recorder = recorder;
    this.#random = random;
    this.#processOf = processOf;
    this.#calm = calm;
  }

  async start(): Promise<SmtpPeer> {
    const peer: SmtpPeer = await startSmtpPeer({
      address: this.#domain.address,
      extensions: usualExtensions.filter((keyword) => keyword !== "DSN" || this.#domain.offersDsn),
      script: {
        connect: () => this.#step("connect", "421 4.3.2 come back later"),
        mail: (_address, _parameters, connection) => {
          this.#began.set(connection, this.#recorder.now());
          return this.#step("mail", "451 4.3.0 not now");
        },
        rcpt: (address) => {
          if (isRefused(address, this.#domain.refuses)) {
            this.#refuse([address]);
            return "550 5.1.1 nobody of that name";
          }
          return this.#step("rcpt", "450 4.2.1 not this one now");
        },
        data: () => this.#step("data", "451 4.3.0 not now"),
        body: () => this.#step("body", ""),
        message: (message) => {
          // A run of hours has no room for what the peer would keep.
          peer.commands.length = 0;
          return this.#message(message).finally(() => {
            peer.received.length = 0;
          });
        },
      },
    });
    return peer;
  }

  async #step(step: Step, deferral: string): Promise<Answer | undefined> {
    const whim = this.#whim(step);
    switch (whim.do) {
      case "defer":
        return deferral;
      case "hang":
        return hang;
      case "vanish":
        return reset;
      case "late":
        await wait(whim.ms);
        return undefined;
      default:
        return undefined;
    }
  }

  #whim(step: Step): Whim {
    return this.#calm.aborted ? { do: "usual" } : whimAt(step, this.#domain.temper, this.#random);
  }

  async #message(message: ReceivedMessage): Promise<Answer | undefined> {
    const whim = this.#whim("dot");
    if (whim.do === "late") {
      // calm() resets the connection; the copy counts from then on, before any that the gateway sends instead.
      const isReset = await wait(whim.ms, false, { signal: this.#calm }).catch(() => true);
      if (isReset) {
        this.#keep(message, false);
        return reset;
      }
    }
    switch (whim.do) {
      case "defer":
        return "451 4.3.0 not now";
      case "refuse":
        this.#refuse(message.to.map(({ address }) => address));
        return "554 5.7.1 not this message";
      case "hang":
        return hang;
      case "lose":
        if (whim.kept) this.#keep(message, false);
        return reset;
      default:
        this.#keep(message, true);
        return undefined;
    }
  }

  #refuse(recipients: string[]): void {
    this.#recorder.record({ kind: "server-refused", server: this.#name, recipients });
  }

  #keep(message: ReceivedMessage, answered: boolean): void {
    const text = message.data.toString("latin1");
    const messageId = messageIdOf(text);
    const sender = this.#processOf(message.clientAddress);
    const recipients = message.to.map(({ address }) => address);
    this.#recorder.record({
      kind: "copy",
      beganAt: this.#began.get(message.connection) ?? this.#recorder.now(),
      server: this.#name,
      ...(sender === undefined ? {} : { sender }),
      from: message.from,
      messageId,
      recipients,
      reportedByServer: this.#domain.offersDsn
        ? message.to
            .filter(({ parameters }) => parameters.join(" ").includes("SUCCESS"))
            .map(({ address }) => address)
        : [],
      answered,
    });
    if (!isIntact(message.data))
      this.#recorder.record({ kind: "leftover", what: `${recipients.join(", ")} got a damaged message` });
    if (message.from !== "") return;
    const about = readReport(text);
    for (const to of recipients)
      if (about.length > 0) this.#recorder.record({ kind: "report", to, messageId, about });
  }
}
