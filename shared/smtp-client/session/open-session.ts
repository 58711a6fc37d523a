/** Opens a session that takes mail: connection, greeting, EHLO, STARTTLS, AUTH (RFC 5321 §3.1, 3207, 4954). */
import net from "node:net";
import {
  asTemporary,
  deferRefusal,
  deferred,
  type Failure,
  outcomeOfRefusal,
  type Remote,
  remoteName,
  replyLine,
} from "../../smtp/diagnose.ts";
import { type Extensions, noExtensions, parseExtensions } from "../../smtp/extensions.ts";
import { greetingText } from "../../smtp/reply.ts";
import { isPositive, type SmtpReply } from "../../smtp/status.ts";
import { authenticate } from "./authenticate.ts";
import { SmtpConnection } from "./connection.ts";
import { dial } from "./dial.ts";
import { type DisconnectReason, openingEnd, outcomeOfDisconnect, seconds } from "./disconnect-reason.ts";
import type { Opened, OpeningFailure, Session, SessionDeps, SessionRequest, TlsResult } from "./session.ts";
import { failed, lost, refused } from "./session.ts";
import { startTls } from "./start-tls.ts";
import type { StepName } from "./step-log.ts";

/** @param signal  ends the opening; aborted with a DisconnectReason */
export async function openSession(
  request: SessionRequest,
  deps: SessionDeps,
  signal: AbortSignal,
): Promise<Opened> {
  const { remote, localAddress, transparentSource, withinMs = Number.POSITIVE_INFINITY } = request;
  const startedMs = deps.now();
  request.steps?.enter("dialing");
  const socket = await dial(
    { ...remote, localAddress, transparentSource },
    Math.min(deps.timeouts.connect, withinMs),
    signal,
  );
  const isConnected = socket instanceof net.Socket;
  logStep(request, "connect", startedMs, deps.now(), !isConnected);
  if (!isConnected) {
    return noConnection(socket, request, deps.now());
  }
  const connection = new SmtpConnection(socket);
  const { observe } = deps;
  if (observe !== undefined) {
    observe({ kind: "connected", localAddress: connection.localAddress });
    connection.onHeard = (reply) => observe({ kind: "reply", reply });
  }
  const onAbort = () => {
    const { kind, reason } = openingEnd(signal);
    connection.destroy(kind, reason);
  };
  signal.addEventListener("abort", onAbort);
  const timer =
    request.withinMs === undefined
      ? undefined
      : setTimeout(
          () => connection.destroy("timeout", `no session within ${seconds(withinMs)}`),
          startedMs + withinMs - deps.now(),
        );
  const opened = await converse(connection, request, deps);
  connection.onHeard = undefined;
  clearTimeout(timer);
  signal.removeEventListener("abort", onAbort);
  if (opened.kind === "failed") deps.quit(connection);
  return opened;
}

function noConnection(
  { kind, reason }: DisconnectReason,
  { remote, localAddress }: SessionRequest,
  atMs: number,
): OpeningFailure {
  const from = localAddress === undefined ? "" : ` from ${localAddress}`;
  const text = `cannot connect to ${remoteName(remote)} port ${remote.port}${from}: ${reason}`;
  switch (kind) {
    case "aborted":
      return { ...failed(deferred("local", "4.4.1", text, atMs, remote)), server: "unknown" };
    case "local":
      return { ...failed(deferred("local", "4.3.0", text, atMs, remote)), server: "unknown" };
    case "unroutable":
      return { ...failed(deferred("connect", "4.4.1", text, atMs, remote)), server: "unknown" };
    default:
      return { ...failed(deferred("connect", "4.4.1", text, atMs, remote)), server: "unanswered" };
  }
}

async function converse(
  connection: SmtpConnection,
  request: SessionRequest,
  deps: SessionDeps,
): Promise<Opened> {
  const { now } = deps;
  const startedMs = now();
  request.steps?.enter("greeting");
  const greeting = await hearGreeting(connection, request, deps);
  let extensions = greeting ?? (await sayHello(connection, request, deps));
  logStep(request, "greeting", startedMs, now(), "kind" in extensions);
  if ("kind" in extensions) return extensions;
  const tlsStartedMs = now();
  if (extensions.startTls && request.policy.tries) request.steps?.enter("tls");
  const tls = await startTls(connection, extensions.startTls, request, deps);
  if (tls !== undefined) {
    logStep(request, "tls", tlsStartedMs, now(), "kind" in tls);
    if ("kind" in tls) return tls;
    deps.observe?.({ kind: "tls", tls });
    // RFC 3207 §4.2: what was known before TLS is forgotten. In TLS 1.3 a server that refuses the handshake says so only now.
    extensions = await sayHello(connection, request, deps, true);
    if ("kind" in extensions) return extensions;
  }
  if (request.auth !== undefined) request.steps?.enter("auth");
  const failure = await authenticate(connection, extensions.auth, request, deps);
  return failure ?? { kind: "session", session: sessionOf(connection, request, extensions, tls, deps.now()) };
}

function logStep(
  { remote, steps }: SessionRequest,
  name: StepName,
  startedMs: number,
  nowMs: number,
  isFailed: boolean,
): void {
  const durationMs = nowMs - startedMs;
  steps?.add({
    name,
    startedMs,
    durationMs,
    host: remote.host,
    ...(isFailed ? { failed: true as const } : {}),
  });
}

function sessionOf(
  connection: SmtpConnection,
  { remote, policy, isNameSure }: SessionRequest,
  extensions: Extensions,
  tls: TlsResult | undefined,
  openedAtMs: number,
): Session {
  return {
    connection,
    remote,
    policy: policy.level,
    // RFC 8689 §2: it may be said only under TLS, to a server whose name and certificate are proven.
    extensions: {
      ...extensions,
      requireTls: extensions.requireTls && isNameSure && tls?.verified === true,
    },
    transactions: 0,
    isAwaitingDot: false,
    openedAtMs,
    ...(tls === undefined ? {} : { tls }),
  };
}

async function hearGreeting(
  connection: SmtpConnection,
  { remote }: SessionRequest,
  { hostname, timeouts, now }: SessionDeps,
): Promise<OpeningFailure | undefined> {
  const heard = await connection.hear("CONNECT", timeouts.greeting);
  if (heard.kind === "lost") {
    const { kind } = heard.disconnectReason;
    const outcome = outcomeOfDisconnect(heard.disconnectReason, remote, "before its greeting", now());
    const isUnanswered = kind === "closed" || kind === "timeout";
    return { ...failed(outcome), server: isUnanswered ? "unanswered" : "answered" };
  }
  const { reply } = heard;
  if (isPositive(reply)) {
    return reply.lines[0] === greetingText(hostname) ? failed(loopsBack(hostname, remote, now())) : undefined;
  }
  // RFC 7504 §3: 521 says that this host never takes mail. Any other refusal of the connection concerns us, or this
  // moment: the mail waits.
  return failed((reply.code === 521 ? outcomeOfRefusal : deferRefusal)(reply, remote, now()));
}

/**
 * RFC 5321 §6.3: the server is this gateway, by a way that addresses do not show: a translated address, a balancer, an
 * interception. A hidden delivery adds no Received field, so nothing else would end that loop. The configuration or the DNS
 * is wrong, which is no reason to return mail.
 */
function loopsBack(hostname: string, remote: Remote, atMs: number): Failure {
  const reason = `${remoteName(remote)} is this gateway itself, it greets as ${hostname}: the mail would loop back`;
  return deferred("network", asTemporary("5.4.6"), reason, atMs, remote);
}

/** RFC 5321 §3.2: HELO where EHLO is refused for good, without extensions then. */
async function sayHello(
  connection: SmtpConnection,
  { helo, remote }: SessionRequest,
  { timeouts, now }: SessionDeps,
  underTls = false,
): Promise<Extensions | OpeningFailure> {
  connection.command(`EHLO ${helo}\r\n`);
  const ehlo = await connection.hear("EHLO", timeouts.ehlo);
  if (ehlo.kind === "lost") return lost(ehlo.disconnectReason, remote, "while saying EHLO", now(), underTls);
  if (isGreeting(ehlo.reply)) return outOfStep(ehlo.reply, remote, now());
  if (isPositive(ehlo.reply)) return parseExtensions(ehlo.reply);
  if (ehlo.reply.code < 500) return refused(ehlo.reply, remote, now());
  connection.command(`HELO ${helo}\r\n`);
  const hello = await connection.hear("HELO", timeouts.ehlo);
  if (hello.kind === "lost")
    return lost(hello.disconnectReason, remote, "while saying HELO", now(), underTls);
  if (isGreeting(hello.reply)) return outOfStep(hello.reply, remote, now());
  return isPositive(hello.reply) ? noExtensions : refused(hello.reply, remote, now());
}

/** RFC 5321 §4.3.2: 220 is no answer to EHLO or HELO. It is another line of a greeting that was not written as one reply. */
function isGreeting({ code }: SmtpReply): boolean {
  return code === 220;
}

function outOfStep(reply: SmtpReply, remote: Remote, atMs: number): OpeningFailure {
  const reason = `${remoteName(remote)} answered ${reply.command} with a greeting: ${replyLine(reply)}`;
  return failed(deferred("network", "4.5.0", reason, atMs, remote));
}
