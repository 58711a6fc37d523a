/** Looks how a delivery to an address would go, up to RCPT, and times each step. No mail is sent, and no limit is asked. */
import type { NextHop, TlsLevel } from "../routing/next-hop.ts";
import { replyLine } from "../smtp/diagnose.ts";
import { isPositive } from "../smtp/status.ts";
import { AddressTries } from "./address-tries.ts";
import {
  type AddressCandidate,
  type AddressDeps,
  deliveryAddresses,
} from "./next-hops/delivery-addresses.ts";
import { ProbeRecorder, type ProbeStep } from "./probe-steps.ts";
import type { Session } from "./session/session.ts";
import { SessionOpener, type SessionOpenerDeps } from "./session-opener.ts";
import { hasInternationalAddress, mailCommand, rcptCommand, unfitFor } from "./transaction/mail-commands.ts";

export interface ProbeRequest {
  nextHop: NextHop;
  /** The reverse-path of MAIL; `""`: the null sender. */
  from: string;
  to: string;
  /** For all steps together, milliseconds. */
  withinMs: number;
  /** Aborting it closes the connection. */
  signal: AbortSignal;
}

export interface ProbeReport {
  /** What the first server that opened a session said to MAIL and RCPT; `unreachable`: none did. */
  result: "accepted" | "deferred" | "refused" | "unreachable";
  /** In the order in which they ended. */
  steps: ProbeStep[];
}

export interface ProbeClient {
  /** Never rejects for what a remote server, the network or the DNS does. */
  probe(request: ProbeRequest): Promise<ProbeReport>;
}

export type ProbeDeps = AddressDeps & SessionOpenerDeps & { tlsLevelOf: (nextHop: NextHop) => TlsLevel };

/** A server with many dead addresses must not take minutes. */
const maxAddresses = 6;

export async function probe(
  { nextHop, from, to, withinMs, signal }: ProbeRequest,
  deps: ProbeDeps,
): Promise<ProbeReport> {
  const recorder = new ProbeRecorder();
  const tls = { level: deps.tlsLevelOf(nextHop), requireTls: false, ignoresPublished: false };
  const auth = nextHop.kind === "relay" ? nextHop.relay.auth : undefined;
  const terms = { helo: deps.hostname, transparentSource: undefined, tls, auth };
  const openByMs = deps.now() + withinMs;
  const tries = new AddressTries();
  const opener = new SessionOpener(
    { nextHop, terms, openByMs, tries },
    { ...deps, observe: recorder.observe },
  );
  const stop = () => opener.stop();
  signal.addEventListener("abort", stop);
  const lookUps = {
    ...deps,
    resolver: recorder.watchResolver(deps.resolver),
    sts: recorder.watchSts(deps.sts),
  };
  let tried = 0;
  try {
    for await (const candidate of deliveryAddresses(nextHop, tls, lookUps)) {
      if (signal.aborted || deps.now() >= openByMs || tried === maxAddresses) break;
      if (candidate.kind !== "address") {
        recorder.add({ step: "hosts", target: "", ok: false, detail: candidate.failure.diagnosis.reason });
        continue;
      }
      tried++;
      const session = await open(candidate, opener, recorder);
      recorder.explainFallback(tries.entries.at(-1)?.tlsFailure);
      if (session === undefined) continue;
      const result = await askRecipient(session, from, to, Math.max(1, openByMs - deps.now()), recorder);
      deps.quit(session.connection);
      return { result, steps: recorder.steps };
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
  return { result: "unreachable", steps: recorder.steps };
}

async function open(
  candidate: Extract<AddressCandidate, { kind: "address" }>,
  opener: SessionOpener,
  recorder: ProbeRecorder,
): Promise<Session | undefined> {
  const { host, address, port } = candidate.remote;
  recorder.beginSession(host === address ? `[${address}]:${port}` : `${host} [${address}]:${port}`);
  const opened = await opener.open(candidate);
  if (opened.kind === "session") {
    const { stsFailure } = opened.session;
    if (stsFailure !== undefined)
      recorder.add({ step: "MTA-STS", target: host, ok: null, detail: stsFailure });
    return opened.session;
  }
  const { reply, reason } = opened.outcome.diagnosis;
  // A reply is a step already.
  if (reply === undefined) recorder.fail(reason);
  return undefined;
}

/** MAIL and RCPT; the session ends by QUIT, which drops the transaction (RFC 5321 §4.1.1.10). */
async function askRecipient(
  { connection, extensions }: Session,
  from: string,
  to: string,
  timeoutMs: number,
  recorder: ProbeRecorder,
): Promise<Exclude<ProbeReport["result"], "unreachable">> {
  const envelope = { reversePath: from, recipients: [{ address: to }] };
  const traits = {
    octets: undefined,
    has8bit: false,
    needsSmtpUtf8: hasInternationalAddress(envelope, envelope.recipients),
  };
  const unfit = unfitFor({}, traits, extensions);
  if (unfit !== undefined) {
    recorder.fail(`${unfit.status} ${unfit.reason}`, "MAIL");
    return "refused";
  }
  const steps = [
    ["MAIL", mailCommand(envelope, traits, extensions)],
    ["RCPT", rcptCommand({ address: to }, extensions)],
  ] as const;
  for (const [step, line] of steps) {
    connection.command(line);
    const heard = await connection.hear(step, timeoutMs);
    if (heard.kind === "lost") {
      recorder.fail(heard.disconnectReason.reason, step);
      return "deferred";
    }
    recorder.reply(heard.reply, replyLine(heard.reply));
    if (!isPositive(heard.reply)) return heard.reply.code >= 500 ? "refused" : "deferred";
  }
  return "accepted";
}
