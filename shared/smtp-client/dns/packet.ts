/** Queries and replies of the DNS as octets, with the Packet codec of dns2. Pure, apart from the random id of a query. */
import { Packet } from "dns2";
import type { DnsReply, RecordType, ReplyRecord } from "./answer.ts";
import { parseTlsa } from "./tlsa.ts";

/** RFC 9715 §3.1: datagrams of this size are not fragmented. */
const udpPayloadOctets = 1232;

/** IANA's numbers; the codec lacks TLSA (RFC 6698 §7.1). */
const typeNumbers: Record<RecordType, number> = {
  A: Packet.TYPE.A,
  AAAA: Packet.TYPE.AAAA,
  MX: Packet.TYPE.MX,
  TXT: Packet.TYPE.TXT,
  CNAME: Packet.TYPE.CNAME,
  TLSA: 52,
};

/** One question, and the function that recognises its reply. */
export function makeQuery(name: string, type: RecordType, edns: boolean) {
  const packet = new Packet();
  // RFC 6840 §5.7: AD in a query asks for AD in the answer, without the signatures.
  Object.assign(packet.header, { id: Packet.uuid(), rd: 1, ad: 1 });
  packet.questions.push(new Packet.Question(name, typeNumbers[type], Packet.CLASS.IN));
  if (edns) packet.additionals.push(Packet.Resource.EDNS([], { udpPayloadSize: udpPayloadOctets }));
  const { id } = packet.header;
  return {
    query: packet.toBuffer(),
    recognise: (message: Buffer) => recogniseReply(message, id, name, type),
  };
}

/** RFC 5452 §3: a reply must match the id and the question. */
function recogniseReply(
  message: Buffer,
  id: number,
  name: string,
  type: RecordType,
): (DnsReply & { truncated: boolean }) | undefined {
  let packet: Packet;
  try {
    packet = Packet.parse(message);
  } catch {
    return undefined;
  }
  const { header, questions } = packet;
  const [question] = questions;
  if (header.id !== id || header.qr !== 1 || header.opcode !== 0) return undefined;
  const isRefusal = header.rcode !== Packet.RCODE.NOERROR && header.rcode !== Packet.RCODE.NXDOMAIN;
  if (question === undefined) {
    // Some servers refuse without repeating the question; only the refusal is used.
    if (!isRefusal) return undefined;
  } else if (
    questions.length !== 1 ||
    question.name.toLowerCase() !== name ||
    question.type !== typeNumbers[type] ||
    question.class !== Packet.CLASS.IN
  ) {
    return undefined;
  }
  const truncated = header.tc === 1;
  // With an unreadable record the answer is incomplete, and treated as a failure of the server.
  const isDamaged = !truncated && packet.errors.some((error) => error.section !== "additionals");
  return {
    rcode: isDamaged ? Packet.RCODE.SERVFAIL : header.rcode,
    // The codec's types lack the bit: RFC 4035 §3.2.3, octet 3 of the header.
    authenticated: ((message[3] ?? 0) & 0x20) !== 0,
    truncated,
    answers: packet.answers.map(readRecord),
    authorities: packet.authorities.map(readRecord),
  };
}

function readRecord(record: InstanceType<typeof Packet.Resource>): ReplyRecord {
  const name = record.name.toLowerCase();
  const { ttl } = record;
  if (record.class !== Packet.CLASS.IN) return { name, type: "other", ttl };
  switch (record.type) {
    case Packet.TYPE.A:
      return { name, type: "A", ttl, text: record.address ?? "" };
    case Packet.TYPE.AAAA:
      return { name, type: "AAAA", ttl, text: record.address ?? "" };
    case Packet.TYPE.CNAME:
      return { name, type: "CNAME", ttl, text: (record.domain ?? "").toLowerCase() };
    case Packet.TYPE.MX: {
      const exchange = (record.exchange ?? "").toLowerCase();
      return { name, type: "MX", ttl, mx: { preference: record.priority ?? 0, exchange } };
    }
    case Packet.TYPE.TXT: {
      const { data } = record;
      return { name, type: "TXT", ttl, txt: Array.isArray(data) ? data.join("") : String(data ?? "") };
    }
    case Packet.TYPE.NS:
      return { name, type: "NS", ttl };
    case Packet.TYPE.SOA:
      return { name, type: "SOA", ttl, minimum: record.minimum ?? 0 };
    case typeNumbers.TLSA:
      // RFC 3597 §5: the codec leaves unknown types as octets.
      return { name, type: "TLSA", ttl, tlsa: parseTlsa(record.data) };
    default:
      return { name, type: "other", ttl };
  }
}

/** RFC 6891 §7: how a server without EDNS refuses a query that uses it. */
export function saysNoEdns({ rcode }: DnsReply): boolean {
  return rcode === Packet.RCODE.FORMERR || rcode === Packet.RCODE.NOTIMP;
}
