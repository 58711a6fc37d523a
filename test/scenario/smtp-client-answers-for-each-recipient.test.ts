import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../../shared/smtp/diagnosis.ts";
import {
  type MessageGiven,
  outcomes,
  summary,
  testMessage,
  testTransport,
  via,
} from "../support/smtp-client-fixture.ts";
import {
  type SmtpPeer,
  type SmtpPeerOptions,
  startSmtpPeer,
  thenClose,
  usualExtensions,
} from "../support/smtp-peer.ts";

async function deliver(
  options: SmtpPeerOptions,
  given: MessageGiven,
): Promise<{ peer: SmtpPeer; found: Outcome[]; brief: string[] }> {
  const peer = await startSmtpPeer(options);
  const transport = testTransport();
  try {
    const found = await outcomes(transport, via(peer), testMessage(given));
    return { peer, found, brief: found.map(summary) };
  } finally {
    await transport.close(1000);
    await peer.stop();
  }
}

const withoutPipelining = usualExtensions.filter((keyword) => keyword !== "PIPELINING");

for (const [how, extensions] of [
  ["pipelined", usualExtensions],
  ["one by one", withoutPipelining],
] as const) {
  test(`some recipients are accepted and some are not (${how})`, async () => {
    const script = {
      rcpt: (address: string) =>
        address.startsWith("no")
          ? "550 5.1.1 no such user"
          : address.startsWith("later")
            ? "450 4.2.2 full"
            : undefined,
    };
    const to = ["no@x.test", "yes@x.test", "later@x.test", "yes2@x.test"];
    const { peer, found, brief } = await deliver({ script, extensions: [...extensions] }, { to });
    assert.deepEqual(brief, ["rejected 5.1.1 5xx", "delivered", "deferred 4.2.2 4xx", "delivered"]);
    assert.equal(peer.received.length, 1);
    const rejected = found[0];
    assert.ok(rejected?.kind === "rejected");
    assert.deepEqual(rejected.diagnosis.reply, {
      code: 550,
      enhanced: "5.1.1",
      lines: ["no such user"],
      command: "RCPT",
    });
    assert.deepEqual(rejected.diagnosis.remote, {
      host: peer.address,
      address: peer.address,
      port: peer.port,
    });
  });

  test(`when no recipient is accepted no data is sent (${how})`, async () => {
    const { peer, brief } = await deliver(
      { script: { rcpt: () => "550 5.1.1 no" }, extensions: [...extensions] },
      { to: ["a@x.test", "b@x.test"] },
    );
    assert.deepEqual(brief, ["rejected 5.1.1 5xx", "rejected 5.1.1 5xx"]);
    assert.equal(peer.received.length, 0);
    assert.ok(peer.commands.includes("1: RSET"), "what was begun is reset");
  });

  test(`a refused MAIL is the outcome of every recipient (${how})`, async () => {
    const script = {
      mail: () => "550 5.7.1 not from you",
      rcpt: () => "503 5.5.1 MAIL first",
      data: () => "503 5.5.1 no",
    };
    const { brief } = await deliver(
      { script, extensions: [...extensions] },
      { to: ["a@x.test", "b@x.test"] },
    );
    assert.deepEqual(brief, ["rejected 5.7.1 5xx", "rejected 5.7.1 5xx"]);
  });

  test(`421 at a RCPT keeps refusals that came before and defers the rest (${how}, RFC 5321 §3.8)`, async () => {
    const script = {
      rcpt: (address: string) =>
        address.startsWith("no")
          ? "550 5.1.1 no"
          : address.startsWith("end")
            ? thenClose("421 4.3.2 bye")
            : undefined,
    };
    const to = ["no@x.test", "yes@x.test", "end@x.test", "never-asked@x.test"];
    const { brief } = await deliver({ script, extensions: [...extensions] }, { to });
    assert.deepEqual(brief, [
      "rejected 5.1.1 5xx",
      "deferred 4.3.2 4xx",
      "deferred 4.3.2 4xx",
      "deferred 4.3.2 4xx",
    ]);
  });
}

test("a server that wants data although it accepted no recipient gets none (RFC 2920 §3.1)", async () => {
  const { peer, brief } = await deliver(
    { script: { rcpt: () => "550 5.1.1 no", data: () => "354 go on" } },
    {},
  );
  assert.deepEqual(brief, ["rejected 5.1.1 5xx"]);
  assert.deepEqual(
    peer.received.map(({ data }) => data.length),
    [0],
  );
});

for (const [code, reply] of [
  ["452", "452 4.5.3 too many recipients"],
  ["452 without a status", "452 too many recipients"],
  ["452 4.3.1", "452 4.3.1 too many recipients"],
  ["552 5.3.0", "552 5.3.0 too many recipients"],
  ["552 of older servers", "552 too many recipients"],
  ["552 5.5.3", "552 5.5.3 too many recipients"],
] as const) {
  test(`${code} at RCPT sends the rest in further transactions (RFC 5321 §4.5.3.1.10)`, async () => {
    let taken = 0;
    const script = {
      mail: () => {
        taken = 0;
        return undefined;
      },
      rcpt: () => (++taken > 2 ? reply : undefined),
    };
    const to = ["a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"];
    const { peer, brief } = await deliver({ script }, { to });
    assert.deepEqual(new Set(brief), new Set(["delivered"]));
    assert.deepEqual(
      peer.received.map((message) => message.to.length),
      [2, 2, 1],
    );
    assert.equal(peer.connections, 1);
  });
}

test("552 5.2.2 is a full mailbox, not a recipient too many", async () => {
  const script = {
    rcpt: (address: string) => (address.startsWith("full") ? "552 5.2.2 mailbox full" : undefined),
  };
  const { brief } = await deliver({ script }, { to: ["a@x.test", "full@x.test"] });
  assert.deepEqual(brief, ["delivered", "rejected 5.2.2 5xx"]);
});

test("552 5.5.3 for the only recipient is temporary all the same", async () => {
  const { brief } = await deliver({ script: { rcpt: () => "552 5.5.3 too many" } }, {});
  assert.deepEqual(brief, ["deferred 4.5.3 5xx"]);
});

test("552 for the only recipient is temporary, unless it speaks of the mailbox or the size (RFC 5321 §4.5.3.1.10)", async () => {
  const briefOf = async (reply: string) => (await deliver({ script: { rcpt: () => reply } }, {})).brief;
  assert.deepEqual(await briefOf("552 Requested mail action aborted: exceeded storage allocation"), [
    "deferred 4.2.2 5xx",
  ]);
  assert.deepEqual(await briefOf("552 5.3.0 Too many recipients"), ["deferred 4.3.0 5xx"]);
  assert.deepEqual(await briefOf("552 5.3.4 too big"), ["rejected 5.3.4 5xx"]);
  assert.deepEqual(await briefOf("552 5.2.3 too big for this mailbox"), ["rejected 5.2.3 5xx"]);
});

test("recipients with different NOTIFY share one transaction, each with its own DSN parameters (RFC 3461 §10.1)", async () => {
  const { peer, found } = await deliver(
    {},
    {
      ret: "HDRS",
      envid: "QQ+1",
      to: [
        { address: "a@x.test", notify: ["SUCCESS", "FAILURE"], orcpt: "rfc822;a@x.test" },
        { address: "b@x.test", notify: [] },
        "c@x.test",
        { address: "d@x.test", notify: ["SUCCESS", "FAILURE"], orcpt: "rfc822;d@x.test" },
      ],
    },
  );
  assert.equal(peer.connections, 1);
  for (const { mailParameters } of peer.received) {
    assert.ok(mailParameters.includes("RET=HDRS"));
    assert.ok(mailParameters.includes("ENVID=QQ+2B1"));
  }
  assert.deepEqual(
    peer.received.map(({ to }) => to.map(({ parameters }) => parameters.join(" "))),
    [
      [
        "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@x.test",
        "NOTIFY=NEVER",
        "",
        "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;d@x.test",
      ],
    ],
  );
  assert.ok(found.every((outcome) => outcome.kind === "delivered" && outcome.dsnPassedOn));
});

test("a server without DSN gets no DSN parameters, and the outcome says so (RFC 3461 §5.2.2)", async () => {
  const { peer, found } = await deliver(
    { extensions: ["PIPELINING"] },
    { ret: "FULL", envid: "x", to: [{ address: "a@x.test", notify: ["SUCCESS"] }] },
  );
  assert.deepEqual(peer.received[0]?.mailParameters, []);
  assert.deepEqual(peer.received[0]?.to[0]?.parameters, []);
  assert.ok(found[0]?.kind === "delivered" && !found[0].dsnPassedOn);
});
