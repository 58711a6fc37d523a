/** Pages quote log messages, errors and events: each of them stands in the source as it is quoted. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

const root = new URL("../../../", import.meta.url).pathname;
const read = (page: string): string => readFileSync(path.join(root, page), "utf8");
const source = globSync(["shared/**/*.ts", "services/**/*.ts"], { cwd: root }).map(read).join("\n");
const [, table = ""] =
  /^Messages without an event[^\n]*\n\n([\s\S]*?)\n\n/m.exec(read("docs/operations.md")) ?? [];
const messages = [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, message = ""]) => message);

const programs =
  /^(?:postern|npm|npx|node|docker|systemctl|apt|ip|git|ssh|dig|sudo|redis-cli|postfix|postqueue|postsuper|postcat|nft|systemd-analyze) /;

/** Text in backquotes that is neither a command nor a form of YAML: three words or more, nearly all of letters. */
function isSentence(code: string): boolean {
  if (programs.test(code) || / -|: |^v=|[={}[\]<>@$"/]/.test(code)) return false;
  const words = code.split(" ");
  return (
    words.length >= 3 &&
    words.filter((word) => /^[A-Za-z'-]+[,:;]?$|^…$/.test(word)).length >= words.length - 1
  );
}

/** NAME, numbers and … stand for what differs from line to line. */
function isInSource(message: string): boolean {
  return message.split(/…|\b\d[\d.]*(?: s\b)?|\b[A-Z]{4,}\b/).every((words) => source.includes(words.trim()));
}

test("the page explains messages", () => {
  assert.ok(messages.length > 5, `${messages.length} messages`);
});

for (const message of messages) {
  test(`the log says "${message}"`, () => assert.ok(isInSource(message)));
}

for (const page of globSync(["README.md", "docs/*.md"], { cwd: root }).sort()) {
  const text = read(page).replaceAll(/^```.*?^```/gms, "");
  const quoted = [...text.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code.replaceAll(/\s+/g, " "));

  test(`the messages that ${page} quotes are those of the source`, () => {
    const sentences = quoted.filter(isSentence);
    assert.deepEqual(
      sentences.filter((sentence) => !isInSource(sentence)),
      [],
    );
  });

  test(`the events that ${page} names are those of the source`, () => {
    const named = quoted.filter((code) =>
      /^(?:session|message|delivery|dsn|proxy|admin|config|spool|pressure|auth)\.[a-z]+$/.test(code),
    );
    const unknown = named.filter((code) => !source.includes(`"${code}"`));
    // Keys of the configuration have the same form.
    // Keys of the configuration and fields of ECS have the same form.
    assert.deepEqual(
      unknown.filter((code) => !isKey(code)),
      [],
    );
  });
}

const keys = new Set(
  [...read("docs/configuration.md").matchAll(/^\| `([a-z_.[\]A-Z]+)`/gm)].map(([, key = ""]) => key),
);

function isKey(code: string): boolean {
  return [...keys].some((key) => key === code || key.endsWith(`.${code}`));
}
