import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { runCommand } from "../support/cli-terminal.ts";
import { runAtTerminal } from "../support/pseudo-terminal.ts";
import { waitFor } from "../support/wait-for.ts";

const postern = path.resolve(import.meta.dirname, "../../bin/postern");
const ids = ["1CB45TNPQ8SWA7XH01", "1CB45TNPQ8SWA7XH02", "1CB45TNPQ8SWA7XH03"];
let directory: string;
/** An admin that answers one request about a message after another, each when the test lets it. */
let url: string;
let waiting: (() => void)[];
const server = createServer(answer);

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "cli-progress-"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  url = `http://127.0.0.1:${address.port}`;
});
beforeEach(() => {
  waiting = [];
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url ?? "/", "http://admin");
  const body = (): string => {
    if (request.method === "POST") return JSON.stringify({ id: ids[0], status: "queued" });
    return "Subject: one\r\n\r\nText\r\n";
  };
  request.resume().once("end", () => waiting.push(() => response.end(body())));
  if (pathname === "/api/v1/messages" && request.method === "GET") assert.fail("ids are not looked up");
}

/** Answers the next request. */
async function letOneGo(): Promise<void> {
  await waitFor("a request", () => waiting.length > 0);
  waiting.shift()?.();
}

test("import says at a terminal how many messages and files are done, above it the lines of each", async (t) => {
  const files = ["a.eml", "b.eml"].map((name) => path.join(directory, name));
  for (const file of files) await writeFile(file, "Subject: x\n\ntext\n");
  const terminal = runAtTerminal(
    t,
    `${postern} queue import ${files.join(" ")} --from a@example.net --to b@example.com --url ${url}; echo "ended $?"`,
  );
  if (terminal === undefined) return;
  await waitFor("the first file", () => terminal.seen().includes("imported 0 messages; file 1 of 2, a.eml"));
  await letOneGo();
  await waitFor("the second file", () => terminal.seen().includes("imported 1 message; file 2 of 2, b.eml"));
  await letOneGo();
  await terminal.ended();
  assert.match(terminal.seen(), new RegExp(`${ids[0]} queued ${files[0]}\\r\\n`));
  // The cursor is back.
  assert.ok(terminal.seen().endsWith("\u001b[?25hended 0\r\n"), terminal.seen());
});

test("an mbox says how many of its messages are done", async (t) => {
  const mbox = path.join(directory, "mbox");
  await writeFile(mbox, "From a@x.example Mon\nSubject: 1\n\na\n\nFrom b@x.example Mon\nSubject: 2\n\nb\n");
  const terminal = runAtTerminal(t, `${postern} queue import ${mbox} --to b@example.com --json --url ${url}`);
  if (terminal === undefined) return;
  await letOneGo();
  await waitFor("the second message", () => terminal.seen().includes("imported 1 message; mbox, 1 of 2"));
  await letOneGo();
  await terminal.ended();
});

test("export into a directory says how many messages are done", async (t) => {
  const mails = path.join(directory, "mails");
  await mkdir(mails);
  const terminal = runAtTerminal(t, `${postern} queue export ${ids.join(" ")} -o ${mails} --url ${url}`);
  if (terminal === undefined) return;
  await letOneGo();
  await waitFor("the second message", () => terminal.seen().includes("exported 1 of 3 messages"));
  await letOneGo();
  await letOneGo();
  await terminal.ended();
  assert.deepEqual(
    await readdir(mails),
    ids.map((id) => `${id}.eml`),
  );
});

test("without a terminal nothing but the result is printed", async () => {
  const file = path.join(directory, "one.eml");
  await writeFile(file, "Subject: x\n\ntext\n");
  const words = ["queue", "import", file, "--from", "a@example.net", "--to", "b@example.com", "--url", url];
  const [ended] = await Promise.all([runCommand("", words), letOneGo()]);
  assert.deepEqual(ended, { status: 0, out: `${ids[0]} queued ${file}\n`, err: "" });
});
