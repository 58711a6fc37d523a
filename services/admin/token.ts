/** The admin's tokens: from the configuration, else one from a file in the data directory, which is created when missing. */
import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Config } from "../../shared/config/schema.ts";
import { tokenScopes } from "../../shared/config/schema-services.ts";
import { CannotStart } from "../../shared/runtime/start-failure.ts";
import type { AdminToken } from "./routes/access.ts";

/** The name of `admin.token` and of the token in the file. */
export const mainTokenName = "admin";

/**
 * @param admin  of the configuration; without `token` and `tokens` the one in the file counts
 * @param data   the data directory
 * @throws Error when the file can be neither read nor created
 */
export async function findTokens(
  admin: Pick<Config["admin"], "token" | "tokens">,
  data: string,
): Promise<AdminToken[]> {
  const main = admin.tokens.length > 0 ? admin.token : await findOrCreateToken(admin.token, data);
  if (main === undefined) return admin.tokens;
  return [{ name: mainTokenName, token: main, scopes: tokenScopes }, ...admin.tokens];
}

/**
 * @param configured  `admin.token`
 * @param data        the data directory; the file is `admin.token` in it, mode 600
 * @throws Error when the file can be neither read nor created
 */
export async function findOrCreateToken(configured: string | undefined, data: string): Promise<string> {
  if (configured !== undefined) return configured;
  const file = path.join(data, "admin.token");
  const found = await readToken(file);
  if (found !== undefined) return found;
  await mkdir(data, { recursive: true });
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  await writeFile(draft, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
  try {
    // link() is atomic, and fails when another process has created the file meanwhile.
    await link(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const created = await readToken(file);
  if (created === undefined) throw new CannotStart(`${file} is empty: remove it, or write a token into it`);
  return created;
}

async function readToken(file: string): Promise<string | undefined> {
  try {
    const text = (await readFile(file, "utf8")).trim();
    return text === "" ? undefined : text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
