/** What happens to the mail of a branch office, step by step: each is done, looked at, and printed. */
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { type Message, type Said, sendBy } from "./client.ts";
import type { Arrival } from "./server.ts";
import type { World } from "./world.ts";

const pollMs = 200;
/** For retries after seconds, on a slow machine. */
const giveUpMs = 120_000;

export interface Story {
  world: World;
  print(line: string): void;
}

/** @returns how many steps went otherwise than they should */
export async function tellStory({ world, print }: Story): Promise<number> {
  const { protected: office, one, two } = world.servers;
  const anna = `anna@${office.domain}`;
  const before = readArrivals(world).length;
  let failed = 0;
  let count = 0;

  /** @param check  the sentence of what has happened. @throws Error when it has not */
  async function step(
    title: string,
    server: string,
    message: Omit<Message, "subject">,
    check: (said: Said, subject: string) => Promise<string>,
  ) {
    count++;
    const subject = `step ${count} of ${process.pid}-${Date.now().toString(36)}`;
    print(`${count}. ${title}`);
    try {
      const said = await sendBy(server, { ...message, subject }, world);
      print(`   the PC hears: ${said.greeting || "nothing, the connection is closed"}`);
      if (said.reply !== "") print(`   and at the end: ${said.reply}`);
      print(`   ${await check(said, subject)}`);
    } catch (error) {
      failed++;
      print(`   WRONG: ${(error as Error).message}`);
    }
  }
  /** Waits for a message with this subject, or about it. */
  const arrived = async (
    server: string,
    to: string,
    matches: (subject: string) => boolean,
  ): Promise<Arrival> => {
    const deadline = performance.now() + giveUpMs;
    for (;;) {
      const found = readArrivals(world)
        .slice(before)
        .find((each) => each.server === server && each.to.includes(to) && matches(each.subject));
      if (found !== undefined) return found;
      if (performance.now() > deadline) throw new Error(`nothing has arrived at ${server} for ${to}`);
      await wait(pollMs);
    }
  };
  const is = (subject: string) => (each: string) => each === subject;

  await step(
    "The server that the PC has chosen is not protected: the session is let through to it.",
    one.address,
    { from: anna, to: `bert@${one.domain}` },
    async ({ greeting }, subject) => {
      expect(greeting.includes(one.name), "its own server does not answer");
      const { received } = await arrived(one.name, `bert@${one.domain}`, is(subject));
      expect(received === 0, "the gateway has added a Received field");
      return `${one.name} has it, as the PC has sent it; no queue has seen it`;
    },
  );
  await step(
    "The same for a server where the configuration insists: the gateway answers, queues, and asks the DNS.",
    two.address,
    { from: anna, to: `carl@${two.domain}` },
    async ({ greeting }, subject) => {
      expect(greeting.includes("gw.office.example"), "the gateway does not answer");
      await arrived(two.name, `carl@${two.domain}`, is(subject));
      return `${two.name} has it, by its MX record`;
    },
  );
  await step(
    "Somebody writes to the office: the gateway carries it to the protected server, with its queue behind it.",
    office.address,
    { from: `carl@${two.domain}`, to: anna },
    async ({ greeting }, subject) => {
      expect(greeting.includes("gw.office.example"), "the gateway does not answer");
      await arrived(office.name, anna, is(subject));
      return `${office.name} has it`;
    },
  );
  await step(
    "A mailbox of the office is full at first: the gateway keeps the message and tries again.",
    office.address,
    { from: `carl@${two.domain}`, to: `busy@${office.domain}` },
    async (_said, subject) => {
      await arrived(office.name, `busy@${office.domain}`, is(subject));
      return `${office.name} has it, at the second attempt`;
    },
  );
  await step(
    "Nobody of that name is there: the sender gets a delivery status notification.",
    two.address,
    { from: anna, to: `nobody@${two.domain}` },
    async () => {
      const { from, subject } = await arrived(office.name, anna, (each) => !each.startsWith("step "));
      expect(from === "", "it is not from the null sender");
      return `${office.name} has it: "${subject}", from <>`;
    },
  );
  await step(
    "The server that the PC has chosen is away: the PC is told so by its connection, and may choose another.",
    world.away,
    { from: anna, to: `bert@${one.domain}` },
    async ({ greeting }) => {
      expect(greeting === "", "somebody has answered");
      return "nothing is in any queue";
    },
  );
  print(failed === 0 ? `All ${count} steps went as they should.` : `${failed} of ${count} steps went wrong.`);
  return failed;
}

function readArrivals({ arrivals }: World): Arrival[] {
  let text = "";
  try {
    text = readFileSync(arrivals, "utf8");
  } catch {
    // No server has received anything yet.
  }
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Arrival);
}

function expect(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise);
}
