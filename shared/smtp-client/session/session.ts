/** From a TCP connection to a session that takes mail: greeting, EHLO, STARTTLS, AUTH (RFC 5321 §3.1, 3207, 4954). */

import net from "node:net";
import tls from "node:tls";
import type { TlsLevel } from "../../routing/next-hop.ts";
import {
  deferRefusal,
  deferred,
  type Failure,
  outcomeOfRefusal,
  type Remote,
  remoteName,
} from "../../smtp/diagnose.ts";
import { type Extensions, noExtensions, parseExtensions } from "../../smtp/extensions.ts";
import type { SmtpReply } from "../../smtp/status.ts";
import type { Proof, TlsPolicy } from "../tls/policy.ts";
import { asciiName, judge, presentedBy } from "../tls/server-proof.ts";
import { SmtpConnection } from "./connection.ts";
import { dial } from "./dial.ts";
import { type DisconnectReason, outcomeOfDisconnect, seconds } from "./disconnect-reason.ts";

/** RFC 5321 §4.5.3.2, in milliseconds. */
export interface Timeouts {
  connect: number;
  greeting: number;
  ehlo: number;
  mail: number;
  rcpt: number;
  data: number;
  body: number;
  dot: number;
  quit: number;
}

export interface SessionRequest {
  remote: Remote;
  localAddress: string | undefined;
  transparentSource: string | undefined;
  /** Whether the host's name is known for sure (RFC 8689 §2). */
  isNameSure: boolean;
  /** The EHLO argument. */
  helo: string;
  policy: TlsPolicy;
  auth: { user: string; password: string } | undefined;
  /** For the whole opening; `undefined`: each of its steps has its time-out. */
  withinMs: number | undefined;
}

export interface Session {
  connection: SmtpConnection;
  remote: Remote;
  /** What may be made use of: REQUIRETLS only where the session is what it asks for. */
  extensions: Extensions;
  /** The TLS policy that was followed. */
  policy: TlsLevel;
  /** Absent: in clear text. */
  tls?: TlsResult;
  /** What an MTA-STS policy in mode testing would have refused it for. */
  stsFailure?: string;
  /** Transactions that were begun. */
  transactions: number;
  openedAtMs: number;
}

export interface TlsResult {
  /** `TLSv1.3` */
  protocol: string;
  /** `TLS_AES_256_GCM_SHA384` */
  cipher: string;
  /** The policy that was followed. */
  level: TlsLevel;
  /** The name that the certificate was checked against, and whether it is valid for it. */
  peerName: string;
  verified: boolean;
  /** Why it is not valid. */
  failure?: string;
  /** The kind of the TLSA record that it matched: `3 1 1`. */
  tlsa?: string;
}

export type Opened =
  | { kind: "session"; session: Session }
  | {
      kind: "failed";
      outcome: Failure;
      /** TLS was the trouble: a connection in clear text may do where the policy allows. */
      tlsFailed: boolean;
      /** Not even a greeting came: there may be nobody. */
      isSilent: boolean;
    };

export interface SessionDeps {
  timeouts: Timeouts;
  /** Bundled and system authorities, or the test's. */
  secureContext: () => tls.SecureContext;
  now: () => number;
  /** Ends a connection politely and keeps nobody waiting. */
  quit: (connection: SmtpConnection) => void;
}

export async function openSession(
  wish: SessionRequest,
  deps: SessionDeps,
  signal: AbortSignal,
): Promise<Opened> {
  const { remote, withinMs = Number.POSITIVE_INFINITY } = wish;
  const startedMs = deps.now();
  const socket = await dial(
    { ...remote, localAddress: wish.localAddress, transparentSource: wish.transparentSource },
    Math.min(deps.timeouts.connect, withinMs),
    signal,
  );
  if (!(socket instanceof net.Socket)) {
    const reason = `cannot connect to ${remoteName(remote)} port ${remote.port}: ${socket.reason}`;
    const isOurs = socket.kind === "aborted";
    const outcome = deferred(isOurs ? "local" : "connect", "4.4.1", reason, deps.now(), remote);
    return { kind: "failed", outcome, tlsFailed: false, isSilent: !isOurs };
  }
  const connection = new SmtpConnection(socket);
  const onAbort = () => connection.destroy("aborted", "the attempt was stopped");
  signal.addEventListener("abort", onAbort);
  const timer =
    wish.withinMs === undefined
      ? undefined
      : setTimeout(
          () => connection.destroy("timeout", `no session within ${seconds(withinMs)}`),
          startedMs + withinMs - deps.now(),
        );
  const opened = await new Opening(wish, deps, connection).run();
  clearTimeout(timer);
  signal.removeEventListener("abort", onAbort);
  if (opened.kind === "failed") {
    deps.quit(connection);
  }
  return opened;
}

/** What a step of the opening came to: nothing, or the end. */
type Step = Extract<Opened, { kind: "failed" }> | undefined;

class Opening {
  readonly #wish: SessionRequest;
  readonly #deps: SessionDeps;
  readonly #connection: SmtpConnection;
  #extensions: Extensions = noExtensions;
  #tls: TlsResult | undefined;

  constructor(wish: SessionRequest, deps: SessionDeps, connection: SmtpConnection) {
    this.#wish = wish;
    this.#deps = deps;
    this.#connection = connection;
  }

  async run(): Promise<Opened> {
    const end =
      (await this.#greeting()) ??
      (await this.#hello()) ??
      (await this.#startTls()) ??
      (await this.#authenticate());
    if (end !== undefined) return end;
    // RFC 8689 §2: it may be said only under TLS, to a server whose name and certificate are proven.
    const requireTls = this.#extensions.requireTls && this.#wish.isNameSure && this.#tls?.verified === true;
    const session: Session = {
      connection: this.#connection,
      remote: this.#wish.remote,
      policy: this.#wish.policy.level,
      extensions: { ...this.#extensions, requireTls },
      transactions: 0,
      openedAtMs: this.#deps.now(),
      ...(this.#tls === undefined ? {} : { tls: this.#tls }),
    };
    return { kind: "session", session };
  }

  async #greeting(): Promise<Step> {
    const heard = await this.#connection.hear("CONNECT", this.#deps.timeouts.greeting);
    if (heard.kind === "lost") {
      const { kind } = heard.disconnectReason;
      const outcome = outcomeOfDisconnect(
        heard.disconnectReason,
        this.#wish.remote,
        "before its greeting",
        this.#deps.now(),
      );
      return { kind: "failed", outcome, tlsFailed: false, isSilent: kind === "closed" || kind === "timeout" };
    }
    const { reply } = heard;
    if (isPositive(reply)) return undefined;
    // RFC 7504 §3: 521 says that this host never takes mail. Any other refusal of the connection concerns us, or this
    // moment: the mail waits.
    const { remote } = this.#wish;
    const outcome = reply.code === 521 ? outcomeOfRefusal : deferRefusal;
    return this.#failed(outcome(reply, remote, this.#deps.now()));
  }

  /**
   * RFC 5321 §3.2: HELO where EHLO is refused for good, without extensions then.
   * @param underTls  the first words after the handshake: in TLS 1.3 a server that refuses it says so only now
   */
  async #hello(underTls = false): Promise<Step> {
    const { helo } = this.#wish;
    const { ehlo } = this.#deps.timeouts;
    this.#connection.write(`EHLO ${helo}\r\n`);
    const heard = await this.#connection.hear("EHLO", ehlo);
    if (heard.kind === "lost") return this.#lost(heard.disconnectReason, "while saying EHLO", underTls);
    if (isPositive(heard.reply)) {
      this.#extensions = parseExtensions(heard.reply);
      return undefined;
    }
    if (heard.reply.code < 500) return this.#refused(heard.reply);
    this.#extensions = noExtensions;
    this.#connection.write(`HELO ${helo}\r\n`);
    const again = await this.#connection.hear("HELO", ehlo);
    if (again.kind === "lost") return this.#lost(again.disconnectReason, "while saying HELO", underTls);
    return isPositive(again.reply) ? undefined : this.#refused(again.reply);
  }

  async #startTls(): Promise<Step> {
    const { policy, remote } = this.#wish;
    if (!policy.tries) return undefined;
    if (!this.#extensions.startTls) {
      if (!policy.needs) return undefined;
      return this.#tlsFailed("4.7.4", "it does not offer STARTTLS, which is required");
    }
    this.#connection.write("STARTTLS\r\n");
    const heard = await this.#connection.hear("STARTTLS", this.#deps.timeouts.ehlo);
    if (heard.kind === "lost") return this.#lost(heard.disconnectReason, "while saying STARTTLS", true);
    if (!isPositive(heard.reply)) {
      // RFC 3207 §4.1: the session goes on in clear text where the policy lets it.
      if (!policy.needs && heard.reply.code !== 421) return undefined;
      return this.#refused(heard.reply, true);
    }
    const secure = await this.#connection.upgrade(
      {
        secureContext: this.#deps.secureContext(),
        ...sni(policy.proof, remote.host),
        // Judged below, so that `may` and `require` can take any certificate and still log what it was.
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
      },
      this.#deps.timeouts.ehlo,
    );
    if (!(secure instanceof tls.TLSSocket)) {
      return this.#lost(secure, "during the TLS handshake", true);
    }
    const { proof } = policy;
    const judgement = judge(proof, presentedBy(secure), remote.host, this.#deps.now());
    this.#tls = {
      protocol: secure.getProtocol() ?? "TLS",
      cipher: secure.getCipher().name,
      level: policy.level,
      peerName: proof.kind === "dane" ? proof.names[0] : remote.host,
      verified: judgement.kind === "proven",
      ...(judgement.kind === "unproven" ? { failure: judgement.reason } : {}),
      ...(judgement.kind === "proven" && judgement.tlsa !== undefined ? { tlsa: judgement.tlsa } : {}),
    };
    if (policy.verifies && judgement.kind === "unproven") return this.#tlsFailed("4.7.5", judgement.reason);
    // RFC 3207 §4.2: what was known before TLS is forgotten.
    return this.#hello(true);
  }

  async #authenticate(): Promise<Step> {
    const { auth, remote } = this.#wish;
    if (auth === undefined) return undefined;
    const { mail } = this.#deps.timeouts;
    const offered = this.#extensions.auth;
    let lines: string[];
    if (offered.includes("PLAIN")) lines = [`AUTH PLAIN ${base64(`\0${auth.user}\0${auth.password}`)}`];
    else if (offered.includes("LOGIN")) lines = ["AUTH LOGIN", base64(auth.user), base64(auth.password)];
    else {
      const offers = offered.length === 0 ? "no AUTH" : `only AUTH ${offered.join(" ")}`;
      const reason = `${remoteName(remote)} offers ${offers}: we know PLAIN and LOGIN`;
      return this.#failed(deferred("network", "4.7.0", reason, this.#deps.now(), remote));
    }
    for (const [i, line] of lines.entries()) {
      this.#connection.write(`${line}\r\n`);
      const heard = await this.#connection.hear("AUTH", mail);
      if (heard.kind === "lost") return this.#lost(heard.disconnectReason, "while saying AUTH");
      const isLast = i === lines.length - 1;
      if (isLast ? isPositive(heard.reply) : heard.reply.code === 334) continue;
      return this.#refused(heard.reply);
    }
    return undefined;
  }

  /** What refuses us before MAIL says nothing about a recipient: deferred whatever its code. */
  #refused(reply: SmtpReply, tlsFailed = false): Step {
    return this.#failed(deferRefusal(reply, this.#wish.remote, this.#deps.now()), tlsFailed);
  }

  #tlsFailed(status: "4.7.4" | "4.7.5", reason: string): Step {
    const { remote } = this.#wish;
    return this.#failed(
      deferred("network", status, `${remoteName(remote)}: ${reason}`, this.#deps.now(), remote),
      true,
    );
  }

  #lost(disconnectReason: DisconnectReason, when: string, duringTls = false): Step {
    return this.#failed(
      outcomeOfDisconnect(disconnectReason, this.#wish.remote, when, this.#deps.now()),
      duringTls && disconnectReason.kind !== "aborted",
    );
  }

  #failed(outcome: Failure, tlsFailed = false): Step {
    return { kind: "failed", outcome, tlsFailed, isSilent: false };
  }
}

export function isPositive(reply: SmtpReply): boolean {
  return reply.code >= 200 && reply.code < 300;
}

/** RFC 7672 §8.1: under DANE, the name at which the TLSA records stand. RFC 6066 §3: names only, no addresses. */
function sni(proof: Proof, host: string): { servername?: string } {
  if (proof.kind === "dane") return { servername: proof.names[0] };
  return net.isIP(host) === 0 ? { servername: asciiName(host) } : {};
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
