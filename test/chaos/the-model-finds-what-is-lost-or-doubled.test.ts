/** The model of the chaos run: what may be true after a history, and what may not. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Accepted, Copy, HistoryEvent, Left, Logged, Recipient, Report } from "./history/events.ts";
import { judge } from "./model/judge.ts";

const address = "r1-0@good.test";
const sender = "s1@back.test";

function accepted(recipient: Omit<Recipient, "address"> = {}, more: Partial<Accepted> = {}): Accepted {
  const recipients = [{ address, ...recipient }];
  return { kind: "accepted", at: 10, door: "queued", from: sender, recipients, reply: "250 ok", ...more };
}

function copy(at: number, more: Partial<Copy> = {}): Copy {
  return {
    kind: "copy",
    at,
    beganAt: at - 5,
    server: "good.test",
    sender: "delivery-1",
    from: sender,
    messageId: "<m1@client.test>",
    recipients: [address],
    reportedByServer: [],
    answered: true,
    ...more,
  };
}

const recorded = (at: number, process = "delivery-1"): Logged => ({
  kind: "logged",
  at,
  process,
  event: "delivery.delivered",
  id: "A",
  to: address,
});

function report(at: number, action: Report["about"][0]["action"], messageId = "<d1@gw>"): HistoryEvent[] {
  const about = [{ address, action, status: "5.1.1" }];
  return [
    copy(at, { from: "", recipients: [sender], messageId, server: "back.test" }),
    { kind: "report", at, to: sender, messageId, about },
  ];
}

const left = (status: Left["status"], to = address, from = sender): Left => ({
  kind: "left",
  at: 900,
  status,
  id: "X-0",
  from,
  to: [to],
  reason: null,
});

const refused: HistoryEvent = { kind: "server-refused", at: 20, server: "good.test", recipients: [address] };
const kill = (at: number, target: string): HistoryEvent => ({ kind: "fault", at, fault: "kill", target });

describe("a recipient whose message got a 250", () => {
  const fates: [string, HistoryEvent[], string][] = [
    ["a server has taken it", [accepted(), copy(20)], "delivered"],
    ["its sender has the notification", [accepted(), refused, ...report(30, "failed")], "returned"],
    ["it waits", [accepted(), left("held")], "waiting"],
    ["it is dead", [accepted(), left("dead")], "dead"],
    ["its notification is dead", [accepted(), refused, left("dead", sender, "")], "returning"],
    [
      "nobody takes its notification",
      [accepted(), refused, { ...refused, recipients: [sender] }],
      "returning",
    ],
    ["an operator removed it", [accepted(), { kind: "removed", at: 20, recipients: [address] }], "removed"],
    ["it failed and NOTIFY is NEVER", [accepted({ notify: "NEVER" }), refused], "failed unreported"],
    ["it failed and NOTIFY is SUCCESS", [accepted({ notify: "SUCCESS" }), refused], "failed unreported"],
  ];
  for (const [why, history, fate] of fates) {
    test(`is ${fate} when ${why}`, () => {
      const { fates, lost } = judge(history);
      assert.equal(fates[fate as keyof typeof fates], 1);
      assert.deepEqual(lost, []);
    });
  }

  const losses: [string, HistoryEvent[]][] = [
    ["nothing is known of it", [accepted()]],
    ["its server refused it and no notification came", [accepted(), refused]],
    ["only a delay was reported", [accepted(), ...report(30, "delayed")]],
    ["NOTIFY is NEVER and no server refused it", [accepted({ notify: "NEVER" })]],
    ["the null sender's mail is not among the dead", [accepted({ notify: "NEVER" }, { from: "" }), refused]],
    ["another recipient has it", [accepted(), copy(20, { recipients: ["r1-1@good.test"] })]],
  ];
  for (const [why, history] of losses) {
    test(`is lost when ${why}`, () => {
      assert.equal(judge(history).lost.length, 1);
    });
  }
});

describe("a report of success that was wanted", () => {
  const wanted = accepted({ notify: "SUCCESS,FAILURE" });
  test("is lost when no server reports it and the gateway has not", () => {
    assert.equal(judge([wanted, copy(20)]).lost[0]?.what, "report of success");
  });
  test("is the server's when that offers DSN", () => {
    assert.deepEqual(judge([wanted, copy(20, { reportedByServer: [address] })]).lost, []);
  });
  test("has arrived", () => {
    assert.deepEqual(judge([wanted, copy(20), ...report(30, "relayed")]).lost, []);
  });
});

describe("a second copy", () => {
  const explained: [string, HistoryEvent[], string][] = [
    ["the sender was killed before its record", [kill(21, "delivery-1")], "kill of delivery"],
    ["Redis was lost during the attempt", [kill(17, "redis")], "kill of redis"],
    [
      "the sender was stopped during the attempt",
      [
        { kind: "fault", at: 18, fault: "stop", target: "delivery-1" },
        { kind: "fault", at: 60, fault: "stop", target: "delivery-1", ended: true },
      ],
      "stop of delivery",
    ],
  ];
  test("is explained when the second sender had been stopped with the message in hand", () => {
    const stopped: HistoryEvent[] = [
      { kind: "fault", at: 12, fault: "stop", target: "delivery-2" },
      { kind: "fault", at: 40, fault: "stop", target: "delivery-2", ended: true },
    ];
    const history = [accepted(), copy(20), recorded(22), ...stopped, copy(50, { sender: "delivery-2" })];
    assert.deepEqual(judge(history).unexplained, []);
  });

  test("is explained when a flipped bit destroyed the record of the first", () => {
    const destroyed = [{ id: "A", recipients: [] }];
    const flip: HistoryEvent = {
      kind: "fault",
      at: 30,
      fault: "flipped-byte",
      target: "settled/a.log",
      destroyed,
    };
    assert.deepEqual(judge([accepted(), copy(20), recorded(22), flip, copy(50)]).unexplained, []);
  });

  test("is explained when the status log could not be read as the queues were compared with the spool", () => {
    const history: HistoryEvent[] = [
      ...[accepted(), copy(20), recorded(22)],
      { kind: "fault", at: 25, fault: "disk-error", target: "read" },
      { kind: "logged", at: 27, process: "delivery-2", event: "scan" },
      { kind: "fault", at: 30, fault: "disk-error", target: "read", ended: true },
      copy(90_000),
    ];
    assert.deepEqual(judge(history).unexplained, []);
  });

  for (const [why, faults, cause] of explained) {
    test(`is explained when ${why}`, () => {
      const { duplicates, unexplained } = judge([
        accepted(),
        copy(20),
        ...faults,
        copy(50, { sender: "delivery-2" }),
      ]);
      assert.deepEqual(
        duplicates.map((each) => each.cause),
        [cause],
      );
      assert.deepEqual(unexplained, []);
    });
  }

  test("is explained when the first one's reply was lost", () => {
    assert.deepEqual(judge([accepted(), copy(20, { answered: false }), copy(50)]).unexplained, []);
  });

  const unexplained: [string, HistoryEvent[]][] = [
    ["nothing happened", []],
    ["the sender was killed after its record", [recorded(22), kill(30, "delivery-1")]],
    ["another process was killed", [kill(21, "delivery-2")]],
    [
      "the second sender was stopped long after the record",
      [
        recorded(22),
        { kind: "fault", at: 30, fault: "stop", target: "delivery-2" },
        { kind: "fault", at: 40, fault: "stop", target: "delivery-2", ended: true },
      ],
    ],
    [
      "a flipped bit destroyed what was known of another message",
      [
        recorded(22),
        {
          kind: "fault",
          at: 30,
          fault: "flipped-byte",
          target: "settled/a.log",
          destroyed: [{ id: "B", recipients: [] }],
        },
      ],
    ],
    [
      "the disk could read again long before",
      [
        recorded(22),
        { kind: "fault", at: 25, fault: "disk-error", target: "read" },
        { kind: "fault", at: 30, fault: "disk-error", target: "read", ended: true },
      ],
    ],
    ["Redis was lost after the record", [recorded(22), kill(30, "redis")]],
  ];
  for (const [why, faults] of unexplained) {
    test(`is not explained when ${why}`, () => {
      const second = copy(50_000, { sender: "delivery-2" });
      const { duplicates, unexplained } = judge([accepted(), copy(20), ...faults, second]);
      assert.equal(duplicates.length, 1);
      assert.equal(unexplained.length, 1);
    });
  }

  test("of a message that the client heard refused is not explained", () => {
    const sent = accepted();
    const { unexplained } = judge([{ ...sent, kind: "refused", reply: "451 4.3.0 no" }, copy(20)]);
    assert.equal(unexplained.length, 1);
  });
});

describe("mail that the disk destroyed", () => {
  const flipped = (recipients: string[]): HistoryEvent => ({
    kind: "fault",
    at: 15,
    fault: "flipped-byte",
    target: "segments/a.seg",
    destroyed: [{ id: "QUEUEID", recipients }],
  });
  const unknown: HistoryEvent = { ...left("dead", "", ""), to: [], id: "QUEUEID-0" };

  test("is not lost when the operator finds it among the dead, by its queue id alone", () => {
    assert.equal(judge([accepted(), flipped([address]), unknown]).fates.dead, 1);
  });
  test("is lost when it is not even there", () => {
    assert.equal(judge([accepted(), flipped([address])]).lost.length, 1);
    assert.equal(judge([accepted(), flipped(["r2-0@good.test"]), unknown]).lost.length, 1);
  });
  test("may have been the notification", () => {
    assert.equal(judge([accepted(), refused, flipped([sender]), unknown]).fates.returning, 1);
  });
});

test("a message refused because the disk failed may have reached the server that it went to inline", () => {
  const sent: HistoryEvent = { ...accepted({}, { at: 22 }), kind: "refused", reply: "451 4.3.0 no" };
  const disk = { kind: "fault", fault: "disk-error", target: "sync" } as const;
  const ended = { ...disk, ended: true } as const;
  assert.deepEqual(judge([{ ...disk, at: 12 }, copy(20), sent, { ...ended, at: 30 }]).unexplained, []);
  assert.equal(judge([{ ...disk, at: 12 }, { ...ended, at: 14 }, copy(20), sent]).unexplained.length, 1);
});

test("two notifications that say the same of a recipient are one too many", () => {
  const { unexplained } = judge([
    accepted(),
    refused,
    ...report(30, "failed"),
    ...report(40, "failed", "<d2@gw>"),
  ]);
  assert.equal(unexplained.length, 1);
});

test("mail that still waits after the end, and what is left over, is unexplained", () => {
  const history: HistoryEvent[] = [
    accepted(),
    left("deferred"),
    { kind: "leftover", at: 990, what: "a file" },
  ];
  assert.equal(judge(history).unexplained.length, 2);
});
