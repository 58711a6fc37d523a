/** The result of a run for people, with the line for programs at its end. */
import type { ChaosResult } from "./chaos.ts";

const most = 20;

export function printResult(result: ChaosResult): void {
  for (const line of describeResult(result)) console.log(line);
}

export function describeResult({
  messages,
  recipients,
  fates,
  lost,
  duplicates,
  unexplained,
  faults,
}: ChaosResult): string[] {
  const lines: string[] = [];
  const counts = (values: Record<string, number>): string =>
    Object.entries(values)
      .filter(([, count]) => count > 0)
      .sort(([one], [other]) => one.localeCompare(other))
      .map(([name, count]) => `${name} ${count}`)
      .join(", ");
  lines.push(`faults: ${counts(faults)}`);
  lines.push(`recipients ${recipients}: ${counts(fates)}`);
  const causes: Record<string, number> = {};
  for (const { what, cause } of duplicates) {
    const why = `${what} by ${cause ?? "no known cause"}`;
    causes[why] = (causes[why] ?? 0) + 1;
  }
  if (duplicates.length > 0) lines.push(`duplicates: ${counts(causes)}`);
  for (const { what, address, from, acceptedAt } of lost.slice(0, most))
    lines.push(`lost: ${what} for ${address} from <${from}>, accepted at ${Math.round(acceptedAt)} ms`);
  for (const what of unexplained.slice(0, most)) lines.push(`unexplained: ${what}`);
  const kills = Object.entries(faults)
    .filter(([name]) => name.startsWith("kill "))
    .map(([, count]) => count);
  lines.push(
    `messages ${messages} kills ${kills.reduce((sum, count) => sum + count, 0)} ` +
      `lost ${lost.length} duplicates ${duplicates.length} unexplained ${unexplained.length}`,
  );
  return lines;
}
