/** The lines of /proc/self/mounts, and which of them a directory is on (pure). */

export interface Mount {
  /** A device, a directory of a server such as `nas:/export/mail`, or any word. */
  source: string;
  /** Where it is mounted, absolute. */
  place: string;
  /** `ext4`, `nfs4`, `fuse.sshfs`. */
  type: string;
  /** `rw`, `hard`, `vers=4.1`. */
  options: string[];
}

/** proc_pid_mounts(5), in the form of fstab(5). Lines without the four fields are left out. */
export function parseMounts(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const [source, place, type, options] = line.split(" ").map(withoutEscapes);
    return source === undefined || place === undefined || type === undefined || options === undefined
      ? []
      : [{ source, place, type, options: options.split(",") }];
  });
}

/**
 * What a directory is on: the mount with the longest place above it, and the last of those in one place, which covers the others.
 * @param directory  absolute, without symbolic links
 */
export function mountOf(directory: string, mounts: readonly Mount[]): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    const { place } = mount;
    const isAbove = place === "/" || directory === place || directory.startsWith(`${place}/`);
    if (isAbove && place.length >= (found?.place.length ?? 0)) found = mount;
  }
  return found;
}

/** The kernel writes space, tab, line feed, backslash and `#` as three octal digits: `\040`. The octets are UTF-8. */
function withoutEscapes(field: string): string {
  if (!field.includes("\\")) return field;
  const octets = Buffer.from(field).toString("latin1");
  const plain = octets.replaceAll(/\\([0-3][0-7]{2})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return Buffer.from(plain, "latin1").toString();
}
