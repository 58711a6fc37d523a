/** The text of a user file: one `name:scrypt$…` a line, with `#` comments. Pure. */
import { formatPasswordHash, type PasswordHash, parsePasswordHash } from "./password-hash.ts";

/** By name. */
export type Users = ReadonlyMap<string, PasswordHash>;

export interface UserListFault {
  /** From 1. */
  line: number;
  /** Follows the file's name: `bob has no hash`. Never quotes a hash. */
  message: string;
}

export type ParsedUsers =
  | { kind: "users"; users: Users }
  /** At least one fault. */
  | { kind: "invalid"; faults: UserListFault[] };

/** RFC 4616 §2: servers must be able to take so many octets. */
const maxNameBytes = 255;

/**
 * The one form of a user name: Unicode NFC, as the first step of SASLprep (RFC 4013 §2.2). Upper and lower case differ.
 * @returns `undefined` for what is no name: empty, too long, or with control characters
 */
export function normalizeUserName(text: string): string | undefined {
  const name = text.normalize("NFC");
  const isName =
    name !== "" && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(name) && Buffer.byteLength(name) <= maxNameBytes;
  return isName ? name : undefined;
}

/** As a user name is. */
export function normalizePassword(text: string): string {
  return text.normalize("NFC");
}

/** @returns the name as the file has it, or why it can be none */
export function checkNewName(text: string): { name: string } | string {
  const name = normalizeUserName(text);
  if (name === undefined) return `is not a user name: 1 to ${maxNameBytes} octets, no control characters`;
  if (name.includes(":") || name.startsWith("#") || name.trim() !== name)
    return "is not a user name: it must not have ':', begin with '#', or begin or end with a space";
  return { name };
}

export function parseUserList(text: string): ParsedUsers {
  const users = new Map<string, PasswordHash>();
  const lineOf = new Map<string, number>();
  const faults: UserListFault[] = [];
  for (const [index, line] of linesOf(text).entries()) {
    const fault = readLine(line, index + 1, users, lineOf);
    if (fault !== undefined) faults.push({ line: index + 1, message: fault });
  }
  return faults.length > 0 ? { kind: "invalid", faults } : { kind: "users", users };
}

function readLine(
  line: string,
  lineNumber: number,
  users: Map<string, PasswordHash>,
  lineOf: Map<string, number>,
): string | undefined {
  if (isComment(line)) return undefined;
  const given = nameIn(line);
  if (given === undefined) return "is not name:scrypt$N$r$p$SALT$KEY";
  const checked = checkNewName(given);
  if (typeof checked === "string") return checked;
  const { name } = checked;
  const first = lineOf.get(name);
  if (first !== undefined) return `${name} is in line ${first} already`;
  lineOf.set(name, lineNumber);
  const hash = parsePasswordHash(line.slice(line.indexOf(":") + 1).trim());
  if (typeof hash === "string") return `the hash of ${name} ${hash}`;
  users.set(name, hash);
  return undefined;
}

/** The text with this user's hash, in its old place or behind the others. */
export function withUser(text: string, name: string, hash: PasswordHash): string {
  const entry = `${name}:${formatPasswordHash(hash)}`;
  const lines = linesOf(text);
  const at = lines.findIndex((line) => isOf(line, name));
  if (at >= 0) lines[at] = entry;
  else lines.push(entry);
  return textOf(lines);
}

export function withoutUser(text: string, name: string): string {
  return textOf(linesOf(text).filter((line) => !isOf(line, name)));
}

function linesOf(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

function isComment(line: string): boolean {
  return /^\s*(#|$)/.test(line);
}

function nameIn(line: string): string | undefined {
  const colon = line.indexOf(":");
  return colon < 0 ? undefined : line.slice(0, colon).trim();
}

function isOf(line: string, name: string): boolean {
  return !isComment(line) && nameIn(line)?.normalize("NFC") === name;
}
