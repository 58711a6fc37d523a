/** The golden files, read by programs that others wrote: Sisimai (Debian's libsisimai-perl) and Python's email package. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { sampleDsns } from "./sample-dsns.ts";

const hasSisimai = spawnSync("perl", ["-MSisimai", "-e", "1"]).status === 0;
const hasPython = spawnSync("python3", ["-c", "import email"]).status === 0;

/** Their addresses, in UTF-8 or by code points, are none for Sisimai 4.25: Python's package is the one that reads them. */
const ofRfc6533 = ["failed-international", "failed-international-to-ascii-sender"];

function golden(name: string): string {
  return fileURLToPath(new URL(`../../golden/dsn-${name}.eml`, import.meta.url));
}

interface SisimaiBounce {
  recipient: string;
  addresser: string;
  action: string;
  alias: string;
  deliverystatus: string;
  diagnosticcode: string;
  rhost: string;
  reason: string;
  subject: string;
  messageid: string;
}

function readBySisimai(name: string): SisimaiBounce[] {
  const program = 'print Sisimai->dump($ARGV[0], "delivered" => 1)';
  const output = execFileSync("perl", ["-MSisimai", "-e", program, golden(name)], { encoding: "utf8" });
  return (JSON.parse(output) as SisimaiBounce[]).sort((a, b) => (a.recipient < b.recipient ? -1 : 1));
}

test("Sisimai reads every notification that it knows the form of", {
  skip: !hasSisimai && "no libsisimai-perl here",
}, async (t) => {
  const expectations: Record<string, Partial<SisimaiBounce>[]> = {
    "failed-one": [
      {
        recipient: "bob@example.com",
        addresser: "alice@example.org",
        action: "failed",
        deliverystatus: "5.1.1",
        reason: "userunknown",
        rhost: "mx1.example.com",
        diagnosticcode: "550 5.1.1 <bob@example.com>: no such user here",
        subject: "Lunch on Friday",
        messageid: "lunch.1@example.org",
      },
    ],
    "failed-several": [
      { recipient: "bob@example.com", deliverystatus: "5.1.1" },
      { recipient: "carol@example.com", deliverystatus: "5.1.1", alias: "carol.smith@example.com" },
      { recipient: "dave@no-such-domain.example", deliverystatus: "5.1.2", reason: "hostunknown" },
      { recipient: "eve@bank.example", deliverystatus: "5.7.1", rhost: "192.0.2.77" },
    ],
    "failed-full": [{ recipient: "bob@example.com", deliverystatus: "5.1.1", subject: "Lunch on Friday" }],
    "failed-full-8bit": [{ recipient: "bob@example.com", deliverystatus: "5.1.1" }],
    "failed-nothing-attached": [{ recipient: "bob@example.com", deliverystatus: "5.1.1" }],
    "failed-possibly-delivered": [
      { recipient: "bob@example.com", deliverystatus: "5.4.7", reason: "expired" },
    ],
    "failed-removed": [{ recipient: "bob@example.com", action: "failed", deliverystatus: "5.7.0" }],
    // Sisimai prefers the enhanced code of the last real reply to the Status field.
    expired: [{ recipient: "bob@example.com", action: "failed", deliverystatus: "4.7.1" }],
    delayed: [
      { recipient: "bob@example.com", action: "delayed", deliverystatus: "4.4.1", reason: "expired" },
    ],
    relayed: [
      { recipient: "bob@example.com", action: "relayed", deliverystatus: "2.0.0", reason: "delivered" },
    ],
    delivered: [{ recipient: "bob@example.com", action: "delivered", deliverystatus: "2.0.0" }],
  };
  await t.test("every golden file is in the list, but those of RFC 6533", () => {
    assert.deepEqual(
      Object.keys(sampleDsns).sort(),
      [...Object.keys(expectations), "failed-hostile", ...ofRfc6533].sort(),
    );
  });
  for (const [name, expected] of Object.entries(expectations)) {
    await t.test(name, () => {
      const bounces = readBySisimai(name);
      assert.equal(bounces.length, expected.length);
      for (const [index, bounce] of bounces.entries())
        assert.partialDeepStrictEqual(bounce, expected[index] ?? {});
    });
  }
  await t.test("failed-hostile: nothing that was smuggled in is taken for a field", () => {
    // A local part in quotes with spaces is no address for Sisimai: it finds the second recipient alone.
    assert.partialDeepStrictEqual(readBySisimai("failed-hostile"), [
      { recipient: "carol@example.com", addresser: "alice@example.org", deliverystatus: "5.0.0", alias: "" },
    ]);
  });
});

/** Structure, headers, the status fields of each group, and what Python thinks is wrong. */
const pythonProgram = `
import email, email.policy, json, sys
with open(sys.argv[1], "rb") as file: message = email.message_from_binary_file(file, policy=email.policy.default.clone(utf8=True))
parts = list(message.iter_parts())
status = parts[1]
if status.get_content_type() == "message/delivery-status":
    groups = [[list(field) for field in group.items()] for group in status.get_payload()]
else:
    text = status.get_payload(decode=True)
    if text is None: text = status.get_payload(0).as_bytes()
    groups = [[list(field) for field in email.message_from_string(block, policy=email.policy.default).items()] for block in text.decode().replace("\\r\\n", "\\n").strip("\\n").split("\\n\\n")]
defects = [str(d) for part in message.walk() for d in part.defects]
print(json.dumps({"type": message.get_content_type(), "report": message.get_param("report-type"), "headers": [[k, str(v)] for k, v in message.items()], "parts": [p.get_content_type() for p in parts], "text": parts[0].get_content(), "groups": groups, "defects": defects}))
`;

interface PythonReading {
  type: string;
  report: string;
  headers: [string, string][];
  parts: string[];
  text: string;
  groups: [string, string][][];
  defects: string[];
}

test("Python's email package reads every notification", {
  skip: !hasPython && "no python3 here",
}, async (t) => {
  for (const [name, dsn] of Object.entries(sampleDsns)) {
    await t.test(name, () => {
      const output = execFileSync("python3", ["-c", pythonProgram, golden(name)], { encoding: "utf8" });
      const reading = JSON.parse(output) as PythonReading;
      const header = (wanted: string) =>
        reading.headers.filter(([field]) => field === wanted).map(([, value]) => value);
      assert.equal(reading.type, "multipart/report");
      assert.equal(reading.parts[0], "text/plain");
      assert.equal(reading.parts[1], `message/${reading.report}`);
      const isGlobal = name === "failed-international";
      assert.equal(reading.report, isGlobal ? "global-delivery-status" : "delivery-status");
      assert.equal(reading.parts.length, dsn.original.attach ? 3 : 2);
      assert.deepEqual(header("Auto-Submitted"), ["auto-replied"]);
      assert.equal(header("Subject").length, 1);
      for (const known of ["Bcc", "X-Injected"])
        assert.deepEqual(header(known), [], `${known} was smuggled in`);

      const [perMessage = [], ...perRecipient] = reading.groups;
      assert.equal(perRecipient.length, dsn.recipients.length);
      const allowed = [
        "Original-Envelope-Id",
        "Reporting-MTA",
        "Received-From-MTA",
        "Arrival-Date",
        "X-Postern-Queue-ID",
      ];
      for (const [field] of perMessage) assert.ok(allowed.includes(field), field);
      for (const [index, group] of perRecipient.entries()) {
        const fields = Object.fromEntries(group);
        assert.equal(fields.Action, dsn.kind);
        assert.equal(fields.Status, dsn.recipients[index]?.report.status);
        assert.equal("X-Injected" in fields, false);
        assert.equal(new Set(group.map(([field]) => field)).size, group.length);
      }
      if (name === "failed-hostile") return;
      assert.deepEqual(reading.defects, []);
      // RFC 6533 §3: the address type utf-8; the address as it is, or in ASCII where the sender's is.
      const written = (address: string): string => {
        if (!ofRfc6533.includes(name)) return `rfc822; ${address}`;
        return isGlobal ? `utf-8; ${address}` : String.raw`utf-8; j\x{FC}rgen@ex\x{E4}mple.com`;
      };
      assert.deepEqual(
        perRecipient.map((group) => Object.fromEntries(group)["Final-Recipient"]),
        dsn.recipients.map(({ address }) => written(address)),
      );
      for (const { address } of dsn.recipients) assert.ok(reading.text.includes(address));
    });
  }
});
