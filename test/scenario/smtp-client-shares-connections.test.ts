import assert from "node:assert/strict";
import { test } from "node:test";
import type { Limiter } from "../../shared/limits/limiter.ts";
import { createLocalLimiter } from "../../shared/limits/local-limiter.ts";
import type { PriorityClass } from "../../shared/limits/priority-class.ts";
import type { SmtpClient } from "../../shared/smtp-client/smtp-client.ts";
import {
  attempt,
  outcomes,
  relay,
  servers,
  summary,
  type TransportSettings,
  testMessage,
  testTransport,
  via,
} from "../support/smtp-client-fixture.ts";
import {
  type Answer,
  close,
  reset,
  type SmtpPeer,
  type SmtpPeerOptions,
  startSmtpPeer,
  thenClose,
} from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

async function withPeer(
  options: SmtpPeerOptions,
  settings: TransportSettings,
  run: (peer: SmtpPeer, transport: SmtpClient) => Promise<void>,
): Promise<void> {
  const peer = await startSmtpPeer(options);
  const transport = testTransport(settings);
  try {
    await run(peer, transport);
  } finally {
    await transport.close(1000);
    await peer.stop();
  }
}

const limits = (entry: {
  connections?: number;
  messages_per_connection?: number;
  rate?: string;
}): TransportSettings => ({
  config: { limits: { destinations: [{ match: "*", ...entry }] } },
});

const freshClass: PriorityClass = { name: "delivery", jobs: 100, isSlow: false };
const slowClass: PriorityClass = { name: "delivery-slow", jobs: 100, isSlow: true };

test("messages for the same next hop share a connection, one after another", async () => {
  await withPeer({}, {}, async (peer, transport) => {
    for (let i = 0; i < 5; i++)
      assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["delivered"]);
    assert.equal(peer.connections, 1);
    assert.equal(peer.received.length, 5);
  });
});

test("messages with other credentials or another HELO name do not share a connection", async () => {
  await withPeer({ users: { a: "1", b: "2" } }, {}, async (peer, transport) => {
    await outcomes(transport, relay(peer, { auth: { user: "a", password: "1" } }));
    await outcomes(transport, relay(peer, { auth: { user: "b", password: "2" } }));
    await outcomes(transport, { ...servers(peer), hide: true }, testMessage({ helo: "one.test" }));
    await outcomes(transport, { ...servers(peer), hide: true }, testMessage({ helo: "two.test" }));
    assert.equal(peer.connections, 4);
    assert.deepEqual(
      peer.received.map(({ user, helo }) => user ?? helo),
      ["a", "b", "one.test", "two.test"],
    );
  });
});

test("mail that has waited leaves a quarter of a destination's connections to fresh mail", async () => {
  const held: (() => void)[] = [];
  const script = {
    message: ({ from }: { from: string }) =>
      from === "fresh@a.test"
        ? undefined
        : new Promise<undefined>((resolve) => held.push(() => resolve(undefined))),
  };
  await withPeer({ script }, limits({ connections: 4 }), async (peer, transport) => {
    const nextHop = via(peer);
    const sendSlow = () => attempt(transport, nextHop, testMessage(), undefined, slowClass);
    const slow = Array.from({ length: 8 }, sendSlow);
    await waitFor("slow mail to have its share", () => held.length === 3);
    // At once, though five wait for what they may not have; and on one connection, which they do not get in between.
    const fresh = testMessage({ reversePath: "fresh@a.test" });
    for (let sent = 0; sent < 3; sent++) {
      assert.deepEqual((await outcomes(transport, nextHop, fresh)).map(summary), ["delivered"]);
      slow.push(sendSlow());
    }
    assert.equal(peer.connections, 4);
    assert.equal(held.length, 3);
    assert.equal(peer.received.length, 3);
    const letGo = setInterval(() => {
      for (const go of held.splice(0)) go();
    }, 5);
    await Promise.all(slow);
    clearInterval(letGo);
  });
});

test("slow mail that may have one more connection goes on with an idle one", async () => {
  const held: (() => void)[] = [];
  // Connections of slow mail carry no other message.
  const spoilt: Answer = { do: "raw", octets: "250 2.0.0 taken\r\n550 5.7.1 go away\r\n" };
  const script = {
    message: ({ from }: { from: string }) =>
      from === "fresh@a.test"
        ? undefined
        : new Promise<Answer>((resolve) => held.push(() => resolve(spoilt))),
  };
  await withPeer({ script }, limits({ connections: 4 }), async (peer, transport) => {
    const slow = Array.from({ length: 4 }, () =>
      attempt(transport, via(peer), testMessage(), undefined, slowClass),
    );
    await waitFor("slow mail to have its share", () => held.length === 3);
    await outcomes(transport, via(peer), testMessage({ reversePath: "fresh@a.test" }));
    held.shift()?.();
    await waitFor("the fourth", () => held.length === 3);
    assert.equal(peer.connections, 4, "on the connection that fresh mail left");
    for (const go of held) go();
    for (const { kind } of await Promise.all(slow)) assert.equal(kind, "tried");
  });
});

test("slow mail waits for a connection behind fresh mail, and gets one that fresh mail leaves", async () => {
  const sent: string[] = [];
  const first = Promise.withResolvers<undefined>();
  const script = {
    message: ({ from }: { from: string }) => {
      sent.push(from);
      return sent.length === 1 ? first.promise : undefined;
    },
  };
  await withPeer({ script }, limits({ connections: 1 }), async (peer, transport) => {
    const send = (from: string, priorityClass: PriorityClass) =>
      attempt(transport, via(peer), testMessage({ reversePath: from }), undefined, priorityClass);
    const all = [send("slow-1@a.test", slowClass)];
    await waitFor("the first", () => sent.length === 1);
    all.push(send("slow-2@a.test", slowClass), send("slow-3@a.test", slowClass));
    all.push(send("fresh-1@a.test", freshClass), send("fresh-2@a.test", freshClass));
    first.resolve(undefined);
    for (const { kind } of await Promise.all(all)) assert.equal(kind, "tried");
    const order = ["slow-1", "fresh-1", "slow-2", "fresh-2", "slow-3"];
    assert.deepEqual(
      sent,
      order.map((name) => `${name}@a.test`),
    );
  });
});

test("connections come from delivery.source_addresses", async () => {
  const config = { delivery: { source_addresses: ["127.0.0.77", "2001:db8::77"] } };
  await withPeer({}, { config }, async (peer, transport) => {
    assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["delivered"]);
    assert.equal(peer.received[0]?.clientAddress, "127.0.0.77");
  });
});

test("a connection carries messages_per_connection messages, then QUIT", async () => {
  await withPeer({}, limits({ messages_per_connection: 2 }), async (peer, transport) => {
    for (let i = 0; i < 5; i++) await outcomes(transport, via(peer));
    assert.deepEqual(
      peer.received.map(({ connection }) => connection),
      [1, 1, 2, 2, 3],
    );
    await waitFor("both say QUIT", () =>
      ["1: QUIT", "2: QUIT"].every((line) => peer.commands.includes(line)),
    );
  });
});

test("a connection whose server said more than it was asked carries no other message", async () => {
  // The second reply would answer the next sender's MAIL, and every one after it the command before.
  const extra = { do: "raw", octets: "250 2.0.0 taken\r\n550 5.7.1 go away\r\n" } as const;
  const beginning = { do: "raw", octets: "250 2.0.0 taken\r\n550" } as const;
  for (const said of [extra, beginning]) {
    await withPeer(
      { script: { message: () => said } },
      limits({ connections: 1 }),
      async (peer, transport) => {
        // One after another, and two that wait for the connection of the first.
        assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["delivered"]);
        const all = await Promise.all([1, 2, 3].map(() => outcomes(transport, via(peer))));
        assert.deepEqual(all.flat().map(summary), ["delivered", "delivered", "delivered"]);
        assert.equal(peer.connections, 4);
      },
    );
  }
});

test("no more than `connections` are open at once, and the other messages wait", async () => {
  let most = 0;
  const script = {
    message: () => {
      most = Math.max(most, peerNow?.open ?? 0);
      return undefined;
    },
  };
  let peerNow: SmtpPeer | undefined;
  await withPeer(
    { script },
    limits({ connections: 3, messages_per_connection: 4 }),
    async (peer, transport) => {
      peerNow = peer;
      let delivered = 0;
      const priorityClass = async () => {
        for (let i = 0; i < 10; ) {
          const result = await attempt(transport, via(peer));
          if (result.kind === "full") await new Promise((resolve) => setTimeout(resolve, 5));
          else {
            assert.equal(summary(result.outcomes.get(0)), "delivered");
            delivered++;
            i++;
          }
        }
      };
      await Promise.all(Array.from({ length: 6 }, priorityClass));
      assert.equal(delivered, 60);
      assert.equal(most, 3);
    },
  );
});

test("jobs of a destination that is full for long come back later, each at a time of its own", async () => {
  let release: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const script = { message: () => held.then(() => undefined) };
  let drawn = 0;
  const settings = {
    config: { ...limits({ connections: 1 }).config, timeouts: { dot: "60s" } },
    options: {
      random: () => {
        drawn += 0.13;
        return drawn % 1;
      },
    },
  };
  await withPeer({ script }, settings, async (peer, transport) => {
    const busy = outcomes(transport, via(peer));
    await waitFor("the slot is taken", () => peer.commands.includes("1: DATA"));
    const results = await Promise.all(Array.from({ length: 4 }, () => attempt(transport, via(peer))));
    const times = results.map((result) => (result.kind === "full" ? result.retryAtMs : 0));
    assert.ok(
      times.every((time) => time > Date.now()),
      "no attempt was made",
    );
    assert.equal(new Set(times).size, 4, "not all to the same time");
    assert.equal(peer.connections, 1);
    release?.();
    assert.deepEqual((await busy).map(summary), ["delivered"]);
  });
});

test("a full destination does not hold up the mail for another", async () => {
  let release: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const other = await startSmtpPeer({ address: "127.0.0.31" });
  await withPeer(
    { script: { message: () => held.then(() => undefined) } },
    limits({ connections: 1 }),
    async (peer, transport) => {
      const busy = outcomes(transport, via(peer));
      assert.deepEqual((await outcomes(transport, via(other))).map(summary), ["delivered"]);
      release?.();
      await busy;
    },
  );
  await other.stop();
});

test("a message over the rate comes back when it may go", async () => {
  await withPeer({}, limits({ rate: "2/1h" }), async (peer, transport) => {
    await outcomes(transport, via(peer));
    await outcomes(transport, via(peer));
    const result = await attempt(transport, via(peer));
    assert.ok(result.kind === "full" && result.retryAtMs > Date.now() + 1_000_000);
    assert.equal(peer.received.length, 2);
  });
});

for (const [how, options] of [
  ["closed", { script: { message: () => thenClose("250 2.0.0 ok, and bye") } }],
  [
    "answering 421 to the next MAIL",
    { script: { mail: answerOnSecond(thenClose("421 4.4.2 idle too long")) } },
  ],
  ["closing at the next MAIL", { script: { mail: answerOnSecond(close) } }],
  ["reset at the next MAIL", { script: { mail: answerOnSecond(reset) } }],
] satisfies [string, SmtpPeerOptions][]) {
  test(`a shared connection that is ${how} is replaced by a fresh one, and nothing is counted`, async () => {
    await withPeer(options, {}, async (peer, transport) => {
      assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["delivered"]);
      const result = await attempt(transport, via(peer));
      assert.ok(result.kind === "tried");
      assert.equal(summary(result.outcomes.get(0)), "delivered");
      assert.deepEqual(
        result.facts.tries.map(({ reused }) => reused),
        [false],
      );
      assert.equal(peer.connections, 2);
    });
  });
}

/** The second MAIL of the first connection gets this. */
function answerOnSecond<T>(answer: T) {
  let mails = 0;
  return () => (++mails === 2 ? answer : undefined);
}

test("a refused recipient does not spoil the connection: RSET, and the next message", async () => {
  const script = { rcpt: (address: string) => (address.startsWith("no") ? "550 5.1.1 no" : undefined) };
  await withPeer({ script }, {}, async (peer, transport) => {
    await outcomes(transport, via(peer), testMessage({ to: ["no@x.test"] }));
    assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["delivered"]);
    assert.equal(peer.connections, 1);
    assert.ok(peer.commands.includes("1: RSET"));
  });
});

for (const [what, answer] of [
  ["500", "500 what?"],
  ["421", "421 4.3.2 going down"],
  ["421, and closes,", thenClose("421 4.3.2 going down")],
] satisfies [string, Answer][]) {
  test(`a server that says ${what} to RSET gets a fresh connection, and the old one is closed`, async () => {
    const script = {
      rcpt: (address: string) => (address.startsWith("no") ? "550 5.1.1 no" : undefined),
      rset: () => answer,
    };
    // Time stands still: no connection ends for being idle.
    await withPeer({ script }, { options: { now: () => 1_700_000_000_000 } }, async (peer, transport) => {
      const found = await outcomes(transport, via(peer), testMessage({ to: ["no@x.test"] }));
      assert.deepEqual(found.map(summary), ["rejected 5.1.1 5xx"]);
      await waitFor("the connection to be closed", () => peer.open === 0);
      assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["delivered"]);
      assert.equal(peer.connections, 2);
    });
  });
}

test("an idle connection says QUIT after some seconds, and frees its slot", async () => {
  let nowMs = 1_700_000_000_000;
  await withPeer(
    {},
    { ...limits({ connections: 1 }), options: { now: () => nowMs } },
    async (peer, transport) => {
      await outcomes(transport, via(peer));
      assert.equal(peer.open, 1);
      nowMs += 60_000;
      await waitFor("it is closed", () => peer.open === 0);
      assert.ok(peer.commands.includes("1: QUIT"));
      assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["delivered"]);
    },
  );
});

test("an idle connection for another purpose makes room when the slots are all taken", async () => {
  await withPeer({}, limits({ connections: 1 }), async (peer, transport) => {
    await outcomes(transport, { ...servers(peer), hide: true }, testMessage({ helo: "one.test" }));
    const found = await outcomes(
      transport,
      { ...servers(peer), hide: true },
      testMessage({ helo: "two.test" }),
    );
    assert.deepEqual(found.map(summary), ["delivered"]);
    assert.equal(peer.connections, 2);
  });
});

test("after a shared connection's 4xx the message goes on to the next host", async () => {
  const second = await startSmtpPeer();
  await withPeer(
    { script: { rcpt: (address) => (address.startsWith("later") ? "450 4.2.1 later" : undefined) } },
    {},
    async (peer, transport) => {
      const hop = servers(peer, second);
      await outcomes(transport, hop);
      const found = await outcomes(transport, hop, testMessage({ to: ["later@x.test"] }));
      assert.deepEqual(found.map(summary), ["delivered"]);
      assert.equal(second.received.length, 1);
      assert.equal(
        peer.commands.filter((line) => line.includes("later@x.test")).length,
        1,
        "the first host was asked once",
      );
    },
  );
  await second.stop();
});

test("while a destination has not answered at all, its messages come back ever later, each at a time of its own", async () => {
  let clockMs = 1_000_000;
  const priorityClass = { name: "fresh", jobs: 2, isSlow: false };
  const script = { connect: () => new Promise<undefined>(() => {}) };
  const settings = { options: { now: () => clockMs, random: () => 0.5 } };
  await withPeer({ script }, settings, async (peer, transport) => {
    const stop = new AbortController();
    const send = () => attempt(transport, via(peer), testMessage(), stop.signal, priorityClass);
    // One destination gets half of a class's jobs: this one is it.
    const probe = send();
    await waitFor("the probe", () => peer.connections === 1);
    const comesBackAfter = async () => {
      const result = await send();
      assert.equal(result.kind, "full");
      return result.kind === "full" ? result.retryAtMs - clockMs : 0;
    };
    assert.equal(await comesBackAfter(), 1000);
    assert.equal(await comesBackAfter(), 1000, "not behind the one before");
    clockMs += 10_000;
    assert.equal(await comesBackAfter(), 26_000);
    clockMs += 3_600_000;
    assert.equal(await comesBackAfter(), 150_500, "at most five minutes");
    stop.abort();
    await probe;
  });
});

test("a process without a connection to a destination, because others have all, waits for its share", async () => {
  const limiter = createLocalLimiter();
  const settings = { ...limits({ connections: 1 }), options: { limiter } };
  await withPeer({}, settings, async (peer, transport) => {
    const other = testTransport(settings);
    await outcomes(other, via(peer));
    // The other one's idle connection says QUIT after five seconds at most, or when it closes.
    const waiting = outcomes(transport, via(peer));
    await other.close(0);
    assert.deepEqual((await waiting).map(summary), ["delivered"]);
  });
});

test("a message that waits while others ask for connections in vain goes on waiting, and gets one that comes free", async () => {
  const local = createLocalLimiter();
  const answers = Promise.withResolvers<void>();
  let asked = 0;
  const limiter: Limiter = {
    ...local,
    // As over a network: the answer is what is true when it is given.
    takeSlot: async (request) => {
      asked++;
      await answers.promise;
      const taken = local.takeSlot(request);
      return taken.kind === "full" ? { ...taken, busyMs: 2000 } : taken;
    },
  };
  const priorityClass = { name: "fresh", jobs: 10, isSlow: false };
  const settings = { ...limits({ connections: 1 }), options: { limiter } };
  await withPeer({}, settings, async (peer, transport) => {
    const destination = peer.address;
    const others = local.takeSlot({ destination, connections: 1 });
    assert.equal(others.kind, "slot");
    // Five ask, as long as the destination has not answered; five wait, which is all that it may have of the class.
    const results = Promise.all(
      Array.from({ length: 10 }, () =>
        attempt(transport, via(peer), testMessage(), undefined, priorityClass),
      ),
    );
    await waitFor("five ask", () => asked === 5);
    await new Promise((resolve) => setTimeout(resolve, 20));
    answers.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    if (others.kind === "slot") others.slot.release();
    const kinds = (await results).map(({ kind }) => kind);
    assert.deepEqual(kinds.sort(), [...Array(5).fill("full"), ...Array(5).fill("tried")]);
    assert.equal(peer.received.length, 5);
  });
});
