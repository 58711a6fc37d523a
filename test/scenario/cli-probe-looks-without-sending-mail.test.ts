/** `postern probe ADDRESS` on a real DNS zone and SMTP servers, through the admin's API. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { commands } from "../../services/cli/commands.ts";
import { dispatch } from "../../services/cli/dispatch.ts";
import { startTestAdmin, token } from "../support/admin.ts";
import { selfSignedCertificate, tlsaOf } from "../support/certificate.ts";
import { startDnsZone } from "../support/dns-zone.ts";
import { type SmtpPeerOptions, startSmtpPeer } from "../support/smtp-peer.ts";

const own = selfSignedCertificate("anything.test");

async function startLook(t: TestContext, options: SmtpPeerOptions) {
  const peer = await startSmtpPeer(options);
  const zone = await startDnsZone();
  const admin = await startTestAdmin(
    {
      dns: { servers: [zone.server] },
      delivery: { loopback: "allow" },
      timeouts: { connect: "2s", greeting: "2s", ehlo: "2s" },
    },
    { smtpClient: { mxPort: peer.port } },
  );
  t.after(async () => {
    await admin.close();
    await peer.stop();
    await zone.stop();
  });
  zone.set("example.test", { MX: [[10, "mx.test"]], behave: "authenticated" });
  zone.set("mx.test", { A: ["127.0.0.1"], behave: "authenticated" });
  const probe = async (...words: string[]) => {
    const ended = { status: 0, out: "", err: "" };
    const given = ["probe", ...words, "--url", admin.url, "--token", token];
    ended.status = await dispatch({ commands, version: "0" }, given, {
      stdin: process.stdin,
      stdout: { columns: 80, write: (text) => (ended.out += text) },
      stderr: { write: (text) => (ended.err += text) },
    });
    return ended;
  };
  return { peer, zone, admin, probe };
}

interface Step {
  step: string;
  target: string;
  ok: boolean | null;
  ms: number;
  detail: string;
}

test("every step is shown with its time, up to RCPT, and no mail is sent", async (t) => {
  const { peer, zone, admin, probe } = await startLook(t, { tls: own });
  zone.set(`_${peer.port}._tcp.mx.test`, { TLSA: [tlsaOf(own, 3, 1, 1)], behave: "authenticated" });
  const { status, out, err } = await probe("bob@example.test", "--json");
  assert.deepEqual([status, err], [0, ""]);
  const { steps, ...report } = JSON.parse(out) as { steps: Step[]; result: string };
  assert.equal(report.result, "accepted");
  const names = steps.map(({ step }) => step);
  const session = ["connect", "greeting", "EHLO", "STARTTLS", "TLS", "DANE", "EHLO", "MAIL", "RCPT"];
  assert.deepEqual(names.slice(-session.length), session);
  for (const step of ["MX", "A", "TLSA", "MTA-STS"]) assert.ok(names.includes(step), `${step}: ${names}`);
  const detail = (wanted: string) => steps.find(({ step }) => step === wanted)?.detail ?? "";
  assert.equal(detail("MX"), "10 mx.test (DNSSEC)");
  assert.match(detail("TLSA"), /^3 1 1/);
  assert.equal(detail("DANE"), "matches TLSA 3 1 1");
  assert.match(detail("RCPT"), /^250/);
  for (const { ms } of steps) assert.ok(ms >= 0);
  assert.equal(peer.received.length, 0);
  const said = peer.commands.map((line) => line.replace(/^\d+: /, ""));
  assert.deepEqual(
    said.filter((line) => /^(MAIL|RCPT|DATA|QUIT)/.test(line)),
    ["MAIL FROM:<>", "RCPT TO:<bob@example.test>", "QUIT"],
  );
  const logged = admin.log.find(({ event }) => event === "admin.probe");
  assert.equal(logged?.result, "accepted");
});

test("the lines fit 80 columns; a refusal of the recipient is exit status 1", async (t) => {
  const rcpt = `550 5.1.1 ${"no such user here ".repeat(10)}`;
  const { probe } = await startLook(t, { script: { rcpt: () => rcpt } });
  const { status, out } = await probe("nobody@example.test", "--from", "ann@example.net");
  assert.equal(status, 1);
  for (const line of out.split("\n")) assert.ok(line.length <= 80, line);
  assert.match(out, /^<nobody@example\.test> from <ann@example\.net>: relay via mx example\.test\n/);
  assert.match(out, /\n {2}ok +[\d.]+ ms {2}MX +example\.test: 10 mx\.test/);
  assert.match(out, /\nmx\.test \[127\.0\.0\.1\]:\d+\n/);
  assert.match(out, /\n {2}FAILED +[\d.]+ ms {2}RCPT +550 5\.1\.1 no such user/);
  assert.match(
    out,
    /\nrefused after \d+ ms; no mail was sent\nRCPT: 550 5\.1\.1 no such user here( no such user here|\s+no|\s+such|\s+user|\s+here)*\s*$/,
  );
});

test("a server that cannot be reached, and a domain that is not there", async (t) => {
  const { peer, zone, probe } = await startLook(t, {});
  await peer.stop();
  const dead = await probe("bob@example.test", "--json");
  assert.equal(dead.status, 1);
  const report = JSON.parse(dead.out) as { result: string; steps: Step[] };
  assert.equal(report.result, "unreachable");
  assert.deepEqual([report.steps.at(-1)?.step, report.steps.at(-1)?.ok], ["connect", false]);
  zone.set("example.test", undefined);
  const gone = JSON.parse((await probe("bob@example.test", "--json")).out) as { steps: Step[] };
  assert.match(gone.steps.at(-1)?.detail ?? "", /example\.test/);
});

test("what is no address, and a caller without a token, are refused before anything is asked", async (t) => {
  const { zone, admin, probe } = await startLook(t, {});
  const wrong = await probe("example.test");
  assert.equal(wrong.status, 1);
  assert.match(wrong.err, /^postern: body\.address is not a mail address\n$/);
  const answer = await fetch(`${admin.url}/api/v1/probes`, { method: "POST", body: "{}" });
  assert.equal(answer.status, 401);
  assert.deepEqual(zone.queries, []);
});
