/** The hold rules as the admin API lists them. */
import { z } from "zod";
import type { AdminClient } from "../admin-api/admin-client.ts";

const holdSchema = z.object({
  id: z.string(),
  kind: z.string(),
  value: z.string(),
  reason: z.string(),
  by: z.string().nullable(),
  since: z.string(),
  until: z.string().nullable(),
  waiting: z.number().nullable(),
});
export type Hold = z.infer<typeof holdSchema>;
const answerSchema = z.object({ holds: z.array(holdSchema) });

/** The oldest first. */
export async function listHolds(client: AdminClient): Promise<Hold[]> {
  const { holds } = answerSchema.parse(await client.get("/api/v1/holds"));
  return holds.sort((a, b) => Date.parse(a.since) - Date.parse(b.since));
}
