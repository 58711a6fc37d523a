/** Records the steps of a probe, each with its time: questions to the DNS, policies, replies, the TLS handshake. */
import { replyLine } from "../smtp/diagnose.ts";
import type { SmtpReply } from "../smtp/status.ts";
import type { DnsAnswer } from "./dns/answer.ts";
import type { Resolver } from "./dns/resolver.ts";
import type { SessionFact, TlsResult } from "./session/session.ts";
import type { FoundPolicy, StsPolicies } from "./tls/sts/policies.ts";

export interface ProbeStep {
  /** `MX`, `A`, `AAAA`, `TLSA`, `MTA-STS`, `connect`, `greeting`, `EHLO`, `STARTTLS`, `TLS`, `DANE`, `AUTH`, `MAIL`, `RCPT`. */
  step: string;
  /** The name that was asked for, or the server: `mx.example.com [192.0.2.1]:25`. */
  target: string;
  /** `null`: neither good nor bad, such as a domain without an MTA-STS policy. */
  ok: boolean | null;
  /** From the step before it in the same session, or how long the answer took; milliseconds. */
  ms: number;
  /** One line: the answer, the reply, or why it failed. */
  detail: string;
}

export class ProbeRecorder {
  readonly steps: ProbeStep[] = [];
  #server = "";
  /** The step that is under way. */
  #next = "connect";
  #sinceMs = performance.now();
  /** The failed handshake, after which the session goes on in clear text. */
  #fallback: ProbeStep | undefined;

  add(step: Omit<ProbeStep, "ms">, ms = this.#lap()): void {
    this.steps.push({ ...step, ms: Math.round(ms * 10) / 10 });
  }

  /** @param server  whose session begins */
  beginSession(server: string): void {
    this.#server = server;
    this.#next = "connect";
    this.#sinceMs = performance.now();
  }

  /** The step that is under way has failed. */
  fail(detail: string, step = this.#next): void {
    this.add({ step, target: this.#server, ok: false, detail });
  }

  /** @param reason  why TLS failed, which is known when the session is open */
  explainFallback(reason: string | undefined): void {
    if (this.#fallback !== undefined && reason !== undefined)
      this.#fallback.detail = `${reason}; again in clear text`;
    this.#fallback = undefined;
  }

  reply({ command, code }: SmtpReply, detail: string): void {
    const step = command === "CONNECT" ? "greeting" : command;
    this.add({ step, target: this.#server, ok: code < 400, detail });
  }

  readonly observe = (fact: SessionFact): void => {
    switch (fact.kind) {
      case "connected":
        // After TLS has failed, the session goes on in clear text by a new connection.
        if (this.#next !== "connect") {
          this.fail("it failed; again in clear text");
          this.#fallback = this.steps.at(-1);
        }
        this.add({ step: "connect", target: this.#server, ok: true, detail: from(fact.localAddress) });
        this.#next = "greeting";
        return;
      case "reply": {
        const { command } = fact.reply;
        this.reply(fact.reply, command === "EHLO" ? ehloLine(fact.reply) : replyLine(fact.reply));
        this.#next = command === "STARTTLS" ? "TLS" : "EHLO";
        return;
      }
      case "tls":
        this.#tls(fact.tls);
        this.#next = "EHLO";
    }
  };

  watchResolver(resolver: Resolver): Resolver {
    const watch =
      <T>(step: string, ask: (name: string) => Promise<DnsAnswer<T>>, show: (record: T) => string) =>
      async (name: string): Promise<DnsAnswer<T>> => {
        const startedMs = performance.now();
        const answer = await ask(name);
        this.add({ step, target: name, ...answerLine(answer, show) }, performance.now() - startedMs);
        return answer;
      };
    const text = (record: string) => record;
    return {
      mx: watch("MX", resolver.mx, ({ preference, exchange }) => `${preference} ${exchange || "."}`),
      a: watch("A", resolver.a, text),
      aaaa: watch("AAAA", resolver.aaaa, text),
      txt: resolver.txt,
      tlsa: watch(
        "TLSA",
        resolver.tlsa,
        ({ usage, selector, matching }) => `${usage} ${selector} ${matching}`,
      ),
      cname: resolver.cname,
    };
  }

  watchSts(sts: StsPolicies): StsPolicies {
    return {
      ...sts,
      find: async (domain) => {
        const startedMs = performance.now();
        const found = await sts.find(domain);
        this.add({ step: "MTA-STS", target: domain, ...policyLine(found) }, performance.now() - startedMs);
        return found;
      },
    };
  }

  #tls({ protocol, cipher, verified, peerName, failure, tlsa, level }: TlsResult): void {
    const certificate = verified ? `valid for ${peerName}` : (failure ?? "not checked");
    const detail = `${protocol}, ${cipher}; certificate ${certificate}`;
    this.add({ step: "TLS", target: this.#server, ok: true, detail });
    if (level !== "dane" && tlsa === undefined) return;
    const matched = tlsa === undefined ? (failure ?? "no TLSA record to match") : `matches TLSA ${tlsa}`;
    this.add({ step: "DANE", target: this.#server, ok: tlsa !== undefined, detail: matched });
  }

  #lap(): number {
    const nowMs = performance.now();
    const ms = nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
    return ms;
  }
}

function from(localAddress: string | undefined): string {
  return localAddress === undefined ? "" : `from ${localAddress}`;
}

/** The name that the server gives itself, and its extensions. */
function ehloLine({ code, lines }: SmtpReply): string {
  const [name = "", ...extensions] = lines;
  return `${code} ${[name, ...extensions].join(", ")}`;
}

const recordsShown = 5;

function answerLine<T>(answer: DnsAnswer<T>, show: (record: T) => string): Pick<ProbeStep, "ok" | "detail"> {
  switch (answer.kind) {
    case "found": {
      const shown = answer.records.slice(0, recordsShown).map(show).join(", ");
      const more =
        answer.records.length > recordsShown ? `, ${answer.records.length - recordsShown} more` : "";
      return { ok: true, detail: `${shown}${more}${answer.authenticated ? " (DNSSEC)" : ""}` };
    }
    case "nodata":
      return { ok: null, detail: "none" };
    case "nxdomain":
      return { ok: null, detail: "no such name" };
    case "unavailable":
      return { ok: false, detail: answer.reason };
  }
}

function policyLine(found: FoundPolicy): Pick<ProbeStep, "ok" | "detail"> {
  if (found.kind === "none") return { ok: null, detail: found.reason };
  const { mode, mx } = found.policy;
  return { ok: true, detail: `${mode}: ${mx.slice(0, recordsShown).join(", ")}` };
}
