/** A reporter for node:test, beside `spec`: lists at the end which tests and suites were skipped, by reason. */
import path from "node:path";
import type { TestEvent } from "node:test/reporters";

export default async function* reportSkipped(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const byReason = new Map<string, string[]>();
  for await (const { type, data } of events) {
    // A test that is skipped passes. `skip` is the reason, or true when none was given.
    if (type !== "test:pass" || data.skip === undefined || data.skip === false) continue;
    const reason = typeof data.skip === "string" && data.skip !== "" ? data.skip : "no reason given";
    const file = data.file === undefined ? "" : `${path.relative(process.cwd(), data.file)}: `;
    byReason.set(reason, [...(byReason.get(reason) ?? []), `${file}${data.name}`]);
  }
  if (byReason.size === 0) {
    yield "\nNo test was skipped.\n";
    return;
  }
  yield "\nSkipped:\n";
  for (const [reason, names] of byReason) {
    yield `  ${reason}\n${names.map((name) => `    ${name}\n`).join("")}`;
  }
}
