/** Reads the user file for a command. */
import { readFileSync } from "node:fs";
import { parseUserList, type Users } from "../../../shared/users/user-list.ts";
import { CommandFailed, UsageError } from "../command-line/command.ts";

/** None where there is no file. @throws UsageError with a line for each error, CommandFailed */
export function readUsers(file: string): Users {
  return usersIn(file, readText(file));
}

/** "" where there is no file. */
function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw new CommandFailed(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** @throws UsageError with a line for each error */
export function usersIn(file: string, text: string): Users {
  const parsed = parseUserList(text);
  if (parsed.kind === "users") return parsed.users;
  const lines = parsed.faults.map(({ line, message }) => `${file}:${line}: ${message}`);
  throw new UsageError("the user file has errors", lines);
}
