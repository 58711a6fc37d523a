/**
 * The user file of a running process: read again when it has changed, as a `stat` at each use shows. While it has faults
 * the users before them hold. Keeps nothing open.
 */
import { readFile, stat } from "node:fs/promises";
import { parseUserList, type Users } from "./user-list.ts";

/** Why the file cannot be used: one sentence for each fault, with its line. */
export type ReportFaults = (faults: string[]) => void;

export class UserFile {
  readonly path: string;
  readonly #reportFaults: ReportFaults;
  #users: Users = new Map();
  /** What the file was when it was read; `undefined`: read it in any case. */
  #version: string | undefined;
  #reading: Promise<void> | undefined;

  constructor(path: string, reportFaults: ReportFaults) {
    this.path = path;
    this.#reportFaults = reportFaults;
  }

  /** The users as of now. Never rejects. */
  async current(): Promise<Users> {
    this.#reading ??= this.#readIfChanged().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
    return this.#users;
  }

  /** Reads it although it looks unchanged. Never rejects. */
  async reread(): Promise<void> {
    await this.#reading;
    this.#version = undefined;
    await this.current();
  }

  async #readIfChanged(): Promise<void> {
    let version: string;
    let text: string;
    try {
      version = await versionOf(this.path);
      if (version === this.#version) return;
      // What is written behind the stat changes the next one.
      text = await readFile(this.path, "utf8");
    } catch (error) {
      version = `unreadable: ${(error as NodeJS.ErrnoException).code}`;
      if (version === this.#version) return;
      this.#version = version;
      const { code, message } = error as NodeJS.ErrnoException;
      this.#reportFaults([
        `${this.path} ${code === "ENOENT" ? "does not exist" : `cannot be read: ${message}`}`,
      ]);
      return;
    }
    this.#version = version;
    const parsed = parseUserList(text);
    if (parsed.kind === "users") this.#users = parsed.users;
    else this.#reportFaults(parsed.faults.map(({ line, message }) => `${this.path}:${line}: ${message}`));
  }
}

async function versionOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}
