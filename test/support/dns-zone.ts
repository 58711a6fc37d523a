/** A name server on loopback (UDP and TCP on one port) with the zone and the faults that a test sets. The test stops it. */
import dgram from "node:dgram";
import type net from "node:net";
import DNS, { Packet } from "dns2";

/**
 * Faults. `silent` never answers, `silent-udp` only over TCP; `truncated` sets TC over UDP; `garbled` sends octets that are
 * not a DNS message; `wrong-…` sends a forged answer and nothing else; `cname-only` does not follow a CNAME, like a server
 * that is not recursive.
 */
export type Behaviour =
  | "answer"
  | "servfail"
  | "refused"
  | "formerr-edns"
  | "silent"
  | "silent-udp"
  | "truncated"
  | "truncated-silent-tcp"
  | "garbled"
  | "wrong-id"
  | "wrong-question"
  | "wrong-type"
  | "wrong-source"
  | "no-qr"
  | "cname-only"
  | "authenticated";

export interface ZoneName {
  A?: string[];
  AAAA?: string[];
  /** `[preference, exchange]`; an exchange of `""` or `"."` is a null MX. */
  MX?: [number, string][];
  CNAME?: string;
  TXT?: string[];
  /** `3 1 1 0a1b…`, as in a zone file. */
  TLSA?: string[];
  /** Seconds; 300 when absent. */
  ttl?: number;
  /** For every record type, or by type. */
  behave?: Behaviour | Partial<Record<string, Behaviour>>;
}

/** By name, in lower case and without the final dot. A name without records and without names below it is NXDOMAIN. */
export type ZoneRecords = Record<string, ZoneName>;

export interface ZoneQuery {
  name: string;
  type: string;
  transport: "udp" | "tcp";
}

export interface DnsZone {
  /** `127.0.0.1:PORT`, for `dns.servers`. */
  server: string;
  port: number;
  /** Every query that arrived, in order, answered or not. */
  queries: ZoneQuery[];
  /** Adds or replaces a name; `undefined` removes it. */
  set(name: string, records: ZoneName | undefined): void;
  /** A fault for every name, which overrides those of the names; `undefined` ends it. */
  behave(behaviour: Behaviour | undefined): void;
  /** The SOA minimum of negative answers in seconds, 60 by default; `undefined` sends no SOA. */
  setNegativeTtl(seconds: number | undefined): void;
  stop(): Promise<void>;
}

export async function startDnsZone(
  records: ZoneRecords = {},
  options: { address?: string; port?: number } = {},
): Promise<DnsZone> {
  const address = options.address ?? "127.0.0.1";
  const names = new Map(Object.entries(records));
  const queries: ZoneQuery[] = [];
  const sockets = new Set<net.Socket>();
  let everywhere: Behaviour | undefined;
  let negativeTtl: number | undefined = 60;

  const behaviourOf = (name: string, type: string): Behaviour => {
    const said = names.get(name)?.behave;
    return everywhere ?? (typeof said === "string" ? said : said?.[type]) ?? "answer";
  };

  function handle(
    transport: "udp" | "tcp",
    request: Packet,
    send: (response: Packet | Buffer) => void,
    peer?: dgram.RemoteInfo,
  ) {
    const question = request.questions[0];
    if (question === undefined) return;
    const name = question.name.toLowerCase();
    const type = typeName(question.type);
    queries.push({ name, type, transport });
    const behaviour = behaviourOf(name, type);
    const response = respond(request, names, behaviour, negativeTtl);
    switch (behaviour) {
      case "silent":
        return;
      case "silent-udp":
        if (transport === "tcp") send(response);
        return;
      case "truncated":
      case "truncated-silent-tcp":
        if (transport === "udp") {
          response.header.tc = 1;
          response.answers = [];
          send(response);
        } else if (behaviour === "truncated") send(response);
        return;
      case "garbled":
        return send(Buffer.from("this is no DNS message"));
      case "wrong-id":
        response.header.id = (response.header.id + 1) % 65_536;
        return send(response);
      case "wrong-source": {
        if (peer === undefined) return;
        const stranger = dgram.createSocket("udp4");
        stranger.send(response.toBuffer(), peer.port, peer.address, () => stranger.close());
        return;
      }
      default:
        send(response);
    }
  }

  const { udp, tcp, port } = await listenOnOnePort(address, options.port ?? 0);
  udp.on("request", (request, send, peer) =>
    handle("udp", request, (response) => void send(response).catch(() => {}), peer as dgram.RemoteInfo),
  );
  tcp.on("request", (request, send) => handle("tcp", request, (response) => void send(response)));
  tcp.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
  });

  return {
    server: address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`,
    port,
    queries,
    set(name, given) {
      if (given === undefined) names.delete(name);
      else names.set(name, given);
    },
    behave(behaviour) {
      everywhere = behaviour;
    },
    setNegativeTtl(seconds) {
      negativeTtl = seconds;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await Promise.all([
        new Promise<void>((resolve) => udp.close(() => resolve())),
        new Promise<void>((resolve) => tcp.close(() => resolve())),
      ]);
    },
  };
}

/** RFC 6698 §7.1; the codec of dns2 does not know the type. */
const tlsaType = 52;

type Resource = InstanceType<typeof Packet.Resource>;
type UdpServer = ReturnType<typeof DNS.createUDPServer> & dgram.Socket;
type TcpServer = ReturnType<typeof DNS.createTCPServer> & net.Server;

/** The system chooses a UDP port; when TCP cannot have the same one, another is tried. */
async function listenOnOnePort(address: string, wanted: number) {
  for (;;) {
    const type = address.includes(":") ? "udp6" : "udp4";
    const udp = DNS.createUDPServer({ type }) as UdpServer;
    await new Promise<void>((resolve, reject) => {
      udp.once("error", reject);
      udp.bind(wanted, address, resolve);
    });
    const { port } = udp.address();
    const tcp = DNS.createTCPServer() as TcpServer;
    const listening = await new Promise<boolean>((resolve, reject) => {
      tcp.once("error", (error: NodeJS.ErrnoException) =>
        error.code === "EADDRINUSE" && wanted === 0 ? resolve(false) : reject(error),
      );
      // The TCP server of dns2 has the listen() of net.Server.
      (tcp as net.Server).listen(port, address, () => resolve(true));
    });
    if (listening) return { udp, tcp, port };
    udp.close();
  }
}

function respond(
  request: Packet,
  names: Map<string, ZoneName>,
  behaviour: Behaviour,
  negativeTtl: number | undefined,
): Packet {
  const response = Packet.createResponseFromRequest(request);
  response.header.ra = 1;
  const [question] = request.questions;
  if (question === undefined) return response;
  if (behaviour === "no-qr") response.header.qr = 0;
  if (behaviour === "authenticated") Object.assign(response.header, { ad: 1 });
  if (behaviour === "wrong-question") response.questions = [{ ...question, name: `other.${question.name}` }];
  if (behaviour === "wrong-type") response.questions = [{ ...question, type: Packet.TYPE.TXT }];
  if (behaviour === "servfail") response.header.rcode = Packet.RCODE.SERVFAIL;
  if (behaviour === "refused") response.header.rcode = Packet.RCODE.REFUSED;
  if (behaviour === "formerr-edns" && request.additionals.length > 0)
    response.header.rcode = Packet.RCODE.FORMERR;
  if (response.header.rcode !== 0) return response;

  const type = typeName(question.type);
  let owner = question.name;
  for (let hops = 0; hops < 30; hops++) {
    const known = names.get(owner.toLowerCase());
    if (known === undefined) {
      const below = [...names.keys()].some((name) => name.endsWith(`.${owner.toLowerCase()}`));
      if (!below) response.header.rcode = Packet.RCODE.NXDOMAIN;
      break;
    }
    const ttl = known.ttl ?? 300;
    if (known.CNAME !== undefined && type !== "CNAME") {
      response.answers.push(record(owner, Packet.TYPE.CNAME, ttl, { domain: known.CNAME }));
      owner = known.CNAME;
      if (behaviour === "cname-only") return response;
      continue;
    }
    for (const fields of rdata(known, type)) response.answers.push(record(owner, question.type, ttl, fields));
    break;
  }
  if (!response.answers.some((answer) => answer.type === question.type) && negativeTtl !== undefined) {
    response.authorities.push(
      record(owner.split(".").slice(-2).join("."), Packet.TYPE.SOA, 3600, {
        primary: "ns.zone.test",
        admin: "hostmaster.zone.test",
        serial: 1,
        refresh: 3600,
        retry: 600,
        expiration: 86_400,
        minimum: negativeTtl,
      }),
    );
  }
  return response;
}

function rdata(known: ZoneName, type: string): object[] {
  switch (type) {
    case "A":
      return (known.A ?? []).map((address) => ({ address }));
    case "AAAA":
      return (known.AAAA ?? []).map((address) => ({ address }));
    case "MX":
      return (known.MX ?? []).map(([priority, exchange]) => ({ priority, exchange }));
    case "TXT":
      return (known.TXT ?? []).map((data) => ({ data }));
    case "TLSA":
      return (known.TLSA ?? []).map((text) => {
        const [usage, selector, matching, data = ""] = text.split(" ");
        const head = [usage, selector, matching].map(Number);
        return { data: Buffer.concat([Buffer.from(head), Buffer.from(data, "hex")]) };
      });
    case "CNAME":
      return known.CNAME === undefined ? [] : [{ domain: known.CNAME }];
    default:
      return [];
  }
}

function record(name: string, type: number, ttl: number, fields: object): Resource {
  return new Packet.Resource({ name, type, class: Packet.CLASS.IN, ttl, ...fields });
}

function typeName(type: number): string {
  if (type === tlsaType) return "TLSA";
  return Packet.TYPE_NAME[type] ?? `TYPE${type}`;
}
