import assert from "node:assert/strict";
import net from "node:net";
import { Packet } from "dns2";
import { type RecordType, readReply } from "../../../shared/smtp-client/dns/answer.ts";
import { makeQuery } from "../../../shared/smtp-client/dns/packet.ts";
import { parseTlsa, usableRecords } from "../../../shared/smtp-client/dns/tlsa.ts";
import { mustBeOneLine, type Target } from "../engine/target.ts";

const name = "example.com";
const types = ["A", "AAAA", "MX", "TXT", "TLSA", "CNAME"] as const;

const target: Target = {
  about: "the reply of a name server: MX, addresses, TXT, CNAME, TLSA",
  maxOctets: 65_535,
  check(input) {
    for (const type of types) {
      const { query, recognise } = makeQuery(name, type, true);
      // It came in answer to this question, whatever it says.
      const message = Buffer.from(input);
      query.copy(message, 0, 0, 2);
      const reply = recognise(message);
      if (reply === undefined) continue;
      // An MX or TLSA record must not be left out without anybody noticing.
      if (reply.rcode === 0 && !reply.truncated) assert.equal(reply.answers.length, message.readUInt16BE(6));
      const reading = readReply(name, type, reply);
      if (reading.kind === "failure") mustBeOneLine(reading.reason);
      if (reading.kind !== "records") continue;
      assert.ok(reading.records.length > 0 && reading.ttl >= 0);
      for (const record of reading.records) {
        assert.equal(record.type, type);
        if (type === "A") assert.ok(net.isIPv4(record.text ?? ""), record.text);
        if (type === "AAAA") assert.ok(net.isIPv6(record.text ?? ""), record.text);
        if (type === "MX")
          assert.ok(Number.isInteger(record.mx?.preference) && record.mx?.exchange !== undefined);
        if (type === "TXT") assert.equal(typeof record.txt, "string");
        if (type === "TLSA") assert.ok(record.tlsa !== undefined);
      }
    }
    const half = Math.floor(input.length / 2);
    for (const record of usableRecords([parseTlsa(input), parseTlsa(input.subarray(half)), parseTlsa("x")])) {
      assert.ok(record.usage === 2 || record.usage === 3);
      assert.ok(record.matching === 0 ? record.data.length > 0 : [32, 64].includes(record.data.length));
    }
  },
  seeds: [
    ...types.map((type) => replyWith(type)),
    // An address of three octets.
    replyWith("A").toString("latin1").replace("\0\x04\xc0\0\x02\x01", "\0\x03\xc0\0\x02"),
    Buffer.concat([Buffer.from([3, 1, 1]), Buffer.alloc(32)]),
    Buffer.concat([Buffer.from([2, 0, 2]), Buffer.alloc(64)]),
  ],
  words: [
    "\xc0\x0c",
    "\xc0\x00",
    "\xff\xff",
    "\x00\x0f\x00\x01",
    "\x00\x34\x00\x01",
    "\x00\x06\x00\x01",
    "\x3f",
    "\x07example\x03com\x00",
  ],
  long: [
    [replyWith("TXT").toString("latin1"), "\xc0\x0c\0\x10\0\x01\0\0\0\0\0\0", ""],
    ["\0\0\x81\x80\0\0\xff\xff\0\0\0\0", "\xc0\x0c", ""],
    ["\0\0\x81\x80\xff\xff\xff\xff\0\0\0\0", "\x01a", ""],
  ],
};
export default target;

function replyWith(type: RecordType): Buffer {
  const packet = Packet.parse(makeQuery(name, type, false).query);
  Object.assign(packet.header, { qr: 1, ra: 1 });
  const common = { name, class: Packet.CLASS.IN, ttl: 300 };
  const records = {
    A: { ...common, type: Packet.TYPE.A, address: "192.0.2.1" },
    AAAA: { ...common, type: Packet.TYPE.AAAA, address: "2001:db8::1" },
    MX: { ...common, type: Packet.TYPE.MX, priority: 10, exchange: "mx.example.com" },
    TXT: { ...common, type: Packet.TYPE.TXT, data: ["v=STSv1; ", "id=1"] },
    CNAME: { ...common, type: Packet.TYPE.CNAME, domain: "a.example.com" },
    TLSA: { ...common, type: Packet.TYPE.NS, ns: "ns.example.com" },
  };
  packet.answers.push(records[type] as never);
  if (type !== "CNAME")
    packet.authorities.push({
      ...common,
      type: Packet.TYPE.SOA,
      primary: "a",
      admin: "b",
      serial: 1,
      refresh: 1,
      retry: 1,
      expiration: 1,
      minimum: 60,
    } as never);
  return packet.toBuffer();
}
