/** `postern explain`: shows how the routing table handles a connection and its recipients, without sending mail. */
import net from "node:net";
import { whyNoAuth } from "../../shared/config/offers-auth.ts";
import type { Config, ListenerConfig } from "../../shared/config/schema.ts";
import type { Direction } from "../../shared/mail/client-connection.ts";
import { formatHostPort, type HostPort } from "../../shared/net/endpoint.ts";
import { compileRouting } from "../../shared/routing/classify.ts";
import type { ConnectionDecision, Handler } from "../../shared/routing/connection-decision.ts";
import { identifyNextHop, type NextHop } from "../../shared/routing/next-hop.ts";
import type { Row } from "../../shared/routing/route.ts";
import { createOwnAddresses } from "../../shared/runtime/own-addresses.ts";
import { whyNotHidden } from "../../shared/smtp-client/session/transparent-source.ts";
import { unreachable } from "../../shared/unreachable.ts";
import { normalizeUserName } from "../../shared/users/user-list.ts";
import { type Context, defineCommand, UsageError } from "./command-line/command.ts";
import { requireConfig } from "./command-line/common-options.ts";
import { renderTable } from "./command-line/table.ts";
import { type Question, readClient, readRecipient, readSender, readServer } from "./explain-question.ts";
import { readUsers } from "./user/read-users.ts";

/** The JSON that is printed for each recipient. */
export interface Explanation {
  /** `null` when the connection is passed, dropped or rejected before the table is asked. */
  row: Row | null;
  handler: Handler;
  nextHop: ShownNextHop | null;
  /** The configuration key that decided. */
  setting: string;
  direction: Direction;
  /** The listener that accepts the connection. */
  listener: string;
  client: string;
  server: string;
  /** `""` is the null sender; `null` when no sender was given. */
  from: string | null;
  to: string;
  /** Who has logged in. */
  user?: string;
  /** Why this user cannot have logged in; the client counts as a stranger then. */
  cannotLogIn?: string;
  /** The reply to RCPT, when it is refused. */
  reply?: string;
  /** Whether the message is delivered inline, while the client waits. */
  inline?: boolean;
  /** Why a next hop with `hide` would see this machine's address nevertheless. */
  cannotHide?: string;
  /** On a listener with `shadow`: how the connection would be handled without it. */
  instead?: { row: Row | null; handler: Handler; setting: string };
}

/** Without credentials; `text` is for people. */
type ShownNextHop = { kind: NextHop["kind"]; text: string } & Record<string, unknown>;

export const command = defineCommand({
  details: "Sends nothing: asks the routing table that live sessions use.",
  usage:
    "--client IP --server IP[:PORT] [--from ADDRESS] --to ADDRESS... [--user NAME] [--listener NAME] [--json]",
  options: {
    client: { type: "string", required: true, value: "IP", help: "the client's address" },
    server: {
      type: "string",
      required: true,
      value: "IP[:PORT]",
      help: "the server it connects to; port 25",
    },
    from: { type: "string", value: "ADDRESS", help: "the sender; '<>' is the null sender" },
    to: {
      type: "string",
      required: true,
      multiple: true,
      value: "ADDRESS",
      help: "a recipient; may be repeated",
    },
    listener: {
      type: "string",
      value: "NAME",
      help: "the listener that accepts it; default: the first for intercepted connections, else the first",
    },
    user: { type: "string", value: "NAME", help: "the user that the client has logged in as" },
    authenticated: { type: "boolean", help: "the client has logged in, never mind how" },
    json: { type: "boolean", help: "print JSON: an object, or an array for several recipients" },
  },
  examples: [
    [
      "a client of ours that meant a server on the Internet",
      "explain --client 198.51.100.7 --server 203.0.113.25 --to bob@example.com",
    ],
    [
      "a user who has logged in at the gateway itself",
      "explain --client 192.0.2.1 --server 192.0.2.7:2525 --from ann@example.net --to bob@example.com --user ann",
    ],
  ],
  async run(context, values) {
    const question: Question = {
      client: { address: readClient(values.client), port: 0 },
      server: readServer(values.server),
      from: values.from === undefined ? null : readSender(values.from),
      to: values.to.map(readRecipient),
      authenticated: values.authenticated,
      user: values.user,
    };
    const { config } = requireConfig(context);
    const listener = chooseListener(config, values.listener);
    const explanations = explainAll(config, listener, question).map(withTransparentSource);
    if (values.json) {
      const [only, ...others] = explanations;
      context.stdout.write(`${JSON.stringify(others.length === 0 ? only : explanations, null, 2)}\n`);
    } else print(context, listener, explanations);
    return 0;
  },
});

/** Stands for a sender that was not given: only the pattern `*` matches it. */
const someSender = "sender@sender.invalid";

function explainAll(config: Config, listener: ListenerConfig, question: Question): Explanation[] {
  const routing = compileRouting(config);
  const connection = routing.classifyConnection({
    client: question.client,
    destination: question.server,
    listener: listener.name,
    // As if this machine were the gateway.
    ownAddresses: createOwnAddresses(config.own_addresses).current(),
  });
  const mayAuthenticate = whyNoAuth(config, listener) === undefined;
  const cannotLogIn = question.user === undefined ? undefined : whyNoLogin(config, listener, question.user);
  const authenticated = question.authenticated || (question.user !== undefined && cannotLogIn === undefined);
  return question.to.map(({ address, sourceRoute }) => {
    const facts = {
      direction: connection.direction,
      listener: listener.name,
      client: question.client.address,
      server: formatHostPort({ host: question.server.address, port: question.server.port }),
      from: question.from,
      to: address,
      ...(question.user === undefined ? {} : { user: question.user }),
      ...(cannotLogIn === undefined ? {} : { cannotLogIn }),
    };
    if (connection.handler !== "queue") return { ...explainConnection(connection), ...facts };
    const decision = routing.classifyRecipient(connection, {
      reversePath: question.from ?? someSender,
      recipient: address,
      authenticated,
      mayAuthenticate,
      sourceRoute,
    });
    const { row, setting } = decision;
    if (row === "denied") {
      const { code, status, text } = decision.reply;
      return { row, handler: "reject", nextHop: null, setting, ...facts, reply: `${code} ${status} ${text}` };
    }
    const { nextHop, inline } = decision;
    return {
      row,
      handler: "queue",
      nextHop: showNextHop(nextHop),
      setting,
      ...facts,
      to: decision.address,
      inline,
    };
  });
}

function whyNoLogin(config: Config, listener: ListenerConfig, user: string): string | undefined {
  const file = config.auth?.users?.file;
  const obstacle = whyNoAuth(config, listener);
  if (obstacle !== undefined || file === undefined) return obstacle;
  const name = normalizeUserName(user);
  return name !== undefined && readUsers(file).has(name) ? undefined : `${file} has no user ${user}`;
}

/** `hide` needs more than the configuration: the privileges of this process, and interception on this machine. */
function withTransparentSource(explanation: Explanation): Explanation {
  if (explanation.nextHop?.hide !== true) return explanation;
  const { servers } = explanation.nextHop as { servers?: HostPort[] };
  const otherFamily = net.isIPv6(explanation.client) ? 4 : 6;
  const obstacle = servers?.every(({ host }) => net.isIP(host) === otherFamily)
    ? `no server has an IPv${otherFamily === 4 ? 6 : 4} address, which the client has`
    : whyNotHidden(explanation.client);
  return obstacle === undefined ? explanation : { ...explanation, cannotHide: obstacle };
}

function explainConnection({ row, handler, nextHop, setting, instead }: ConnectionDecision) {
  const shown = nextHop === null ? null : showNextHop(nextHop);
  return { row, handler, nextHop: shown, setting, ...(instead === undefined ? {} : { instead }) };
}

function showNextHop(nextHop: NextHop): ShownNextHop {
  const text = identifyNextHop(nextHop).label;
  switch (nextHop.kind) {
    case "servers":
      return { kind: nextHop.kind, servers: nextHop.servers, hide: nextHop.hide, text };
    case "relay": {
      const { name, host, port, tls } = nextHop.relay;
      return { kind: nextHop.kind, name, host, port, tls, text };
    }
    case "host":
      return { kind: nextHop.kind, ...nextHop.host, text };
    case "mx":
      return { kind: nextHop.kind, domain: nextHop.domain, text };
    default:
      return unreachable(nextHop);
  }
}

function chooseListener(config: Config, name: string | undefined): ListenerConfig {
  if (name !== undefined) {
    const found = config.listeners.find((listener) => listener.name === name);
    if (found !== undefined) return found;
    const known = config.listeners.map((listener) => listener.name).join(", ");
    throw new UsageError(`finds no listener '${name}' in the configuration, only: ${known}`);
  }
  const chosen = config.listeners.find(({ destination }) => destination !== "self") ?? config.listeners[0];
  if (chosen === undefined) throw new UsageError("needs a listener in the configuration");
  return chosen;
}

function print({ stdout }: Context, listener: ListenerConfig, explanations: Explanation[]): void {
  const [first] = explanations;
  if (first === undefined) return;
  stdout.write(`${first.client} to ${first.server} is ${first.direction}, `);
  stdout.write(`by listener ${listener.name} (destination: ${listener.destination})\n\n`);
  const table = renderTable<Explanation>(
    [
      { title: "TO", value: ({ to }) => to },
      { title: "ROW", value: ({ row }) => row ?? "-" },
      { title: "HANDLER", value: ({ handler }) => handler },
      { title: "NEXT HOP", value: ({ nextHop, reply }) => reply ?? nextHop?.text ?? "-" },
      { title: "SETTING", value: ({ setting }) => setting },
    ],
    explanations,
    Number.POSITIVE_INFINITY,
  );
  stdout.write(`${table.join("\n")}\n`);
  const { cannotHide } = explanations.find((explanation) => explanation.cannotHide !== undefined) ?? first;
  if (cannotHide !== undefined) {
    stdout.write(
      `\nhide is not possible here, so that the server sees this machine's address: ${cannotHide}\n`,
    );
  }
  if (first.cannotLogIn !== undefined) {
    stdout.write(`\n${first.user} cannot have logged in: ${first.cannotLogIn}\n`);
  }
  if (first.instead !== undefined) {
    const { row, handler, setting } = first.instead;
    stdout.write(`\nwithout shadow: ${row ?? "the routing table"}, ${handler}, by ${setting}\n`);
  }
}
