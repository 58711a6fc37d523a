/** Notifications about a message with international addresses: SMTPUTF8 where the sender's address needs it, plain ASCII elsewhere. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer, usualExtensions } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const ways = [
  {
    name: "an international sender gets it in UTF-8, declared as such (RFC 6531 §3.4, RFC 6152 §2)",
    reversePath: "älice@sender.example",
    extensions: usualExtensions,
    parameters: ["BODY=8BITMIME", "SMTPUTF8"],
    recipient: /^Final-Recipient: utf-8; jürgen@example\.com\r$/m,
    isAscii: false,
  },
  {
    name: "a sender with an ASCII address gets it through a server that knows neither SMTPUTF8 nor 8BITMIME",
    reversePath: "alice@sender.example",
    extensions: ["PIPELINING"],
    parameters: [],
    recipient: /^Final-Recipient: utf-8; j\\x\{FC\}rgen@example\.com\r$/m,
    isAscii: true,
  },
];

for (const { name, reversePath, extensions, parameters, recipient, isAscii } of ways) {
  test(name, async (t) => {
    const remote = await startSmtpPeer({ script: { rcpt: () => "550 5.1.1 no such user" } });
    const home = await startSmtpPeer({ extensions });
    t.after(() => Promise.all([remote.stop(), home.stop()]));
    const flow = await createMailFlow(t, {
      dsn: { wave: "100ms" },
      relay: {
        routes: [
          { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
          { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
        ],
      },
    });
    await flow.startDelivery();
    await flow.startBounce();
    await flow.accept({ reversePath, smtputf8: true, to: ["jürgen@example.com"] });
    await waitFor("the notification", () => home.received.length === 1);
    const [received] = home.received;
    assert.deepEqual(
      received?.mailParameters.filter((parameter) => !parameter.startsWith("SIZE=")),
      parameters,
    );
    assert.match(received?.data.toString() ?? "", recipient);
    assert.equal(
      received?.data.every((octet) => octet < 128),
      isAscii,
    );
  });
}
