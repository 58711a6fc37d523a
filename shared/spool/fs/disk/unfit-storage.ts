/** Which file systems a spool should not be on, or only with care (pure). */
import type { Mount } from "./mounts.ts";

/** By the type of statfs(2). */
const kindsByNumber: ReadonlyMap<number, Kind> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "SMB"],
  [0xfe534d42, "SMB"],
  [0x65735546, "FUSE"],
  [0x01021997, "9P"],
]);

type Kind = "NFS" | "SMB" | "FUSE" | "9P";

/** What the mount says where the number is of another kind: a server of FUSE may have any number. */
function kindOf(number: number, type = ""): Kind | undefined {
  if (/^nfs4?$/.test(type)) return "NFS";
  if (/^(cifs|smb3?|smbfs)$/.test(type)) return "SMB";
  if (/^(fuse|fuseblk|virtiofs)$|^fuse\./.test(type)) return "FUSE";
  if (type === "9p") return "9P";
  // 32-bit systems have it with a sign.
  return kindsByNumber.get(number >>> 0);
}

/**
 * What an operator should know about the file system of a spool, a sentence each; most often nothing.
 * @param directory  of the spool, for people
 * @param number     the type of statfs(2)
 * @param mount      absent: not known
 */
export function unfitStorage(directory: string, number: number, mount: Mount | undefined): string[] {
  const kind = kindOf(number, mount?.type);
  if (kind === undefined) return [];
  const where = mount === undefined ? kind : `${kind} (${printable(mount.source)} on ${placeOf(mount)})`;
  const subject = `the spool ${directory} is on ${where}`;
  if (kind === "NFS") return [`${subject}: ${oneHost}`, ...nfsOptions(mount)];
  const unknown =
    kind === "FUSE"
      ? "whether what is stored survives a crash is up to the program behind it, and has not been tried"
      : "whether what is stored survives a crash has not been tried";
  return [`${subject}: ${unknown}; take a local disk, or spool.s3`];
}

const oneHost =
  "only the services of one host may use it; several read old octets there and lose mail: they need spool.s3";

function nfsOptions(mount: Mount | undefined): string[] {
  if (mount === undefined) return [];
  const { options } = mount;
  const place = placeOf(mount);
  const warnings: string[] = [];
  const soft = options.find((option) => option === "soft" || option === "softerr");
  if (soft !== undefined)
    warnings.push(
      `${place} is mounted with ${soft}: mail will be lost or damaged when its server is away for a while, since the kernel gives writes up then; mount it with hard, never with ${soft}`,
    );
  const untried = options.filter((option) => option === "nolock" || isOldVersion(option));
  if (untried.length > 0)
    warnings.push(`${place} is mounted with ${untried.join(", ")}: only vers=4.1 or later has been tried`);
  return warnings;
}

function placeOf({ place }: Mount): string {
  return printable(place);
}

/** One line, whatever somebody called a directory. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "?");
}

function isOldVersion(option: string): boolean {
  const version = /^(?:nfs)?vers=(\d+(?:\.\d+)?)$/.exec(option)?.[1];
  return version !== undefined && Number(version) < 4.1;
}
