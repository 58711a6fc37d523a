import assert from "node:assert/strict";
import { test } from "node:test";
import { type Mount, mountOf, parseMounts } from "../../../shared/spool/fs/disk/mounts.ts";
import { unfitStorage } from "../../../shared/spool/fs/disk/unfit-storage.ts";

const ext4 = 0xef53;
const nfs = 0x6969;

function mounted(options: string, type = "nfs4"): Mount {
  return { source: "nas:/export/mail", place: "/mnt/mail", type, options: options.split(",") };
}

const nfsWarning =
  "the spool /mnt/mail/spool is on NFS (nas:/export/mail on /mnt/mail): only the services of one host may use it; several read old octets there and lose mail: they need spool.s3";
const softWarning = (option: string): string =>
  `/mnt/mail is mounted with ${option}: mail will be lost or damaged when its server is away for a while, since the kernel gives writes up then; mount it with hard, never with ${option}`;
const untried = (options: string): string =>
  `/mnt/mail is mounted with ${options}: only vers=4.1 or later has been tried`;

test("a spool on NFS is warned of, and strongly where the kernel gives writes up", () => {
  const table: [number, Mount | undefined, string[]][] = [
    [ext4, { ...mounted("rw,relatime", "ext4"), source: "/dev/vda" }, []],
    [ext4, undefined, []],
    // tmpfs, XFS, CephFS
    [0x01021994, undefined, []],
    [0x58465342, undefined, []],
    [0x00c36400, undefined, []],
    [nfs, mounted("rw,vers=4.1,hard,proto=tcp"), [nfsWarning]],
    [nfs, mounted("rw,vers=4.2,hard"), [nfsWarning]],
    [nfs, mounted("rw,vers=4.2,soft,timeo=600"), [nfsWarning, softWarning("soft")]],
    [nfs, mounted("rw,vers=4.2,softerr"), [nfsWarning, softWarning("softerr")]],
    [nfs, mounted("rw,vers=4.2,softreval,hard"), [nfsWarning]],
    [nfs, mounted("rw,vers=4.0,hard"), [nfsWarning, untried("vers=4.0")]],
    [nfs, mounted("rw,nfsvers=3,hard", "nfs"), [nfsWarning, untried("nfsvers=3")]],
    [
      nfs,
      mounted("rw,vers=3,soft,nolock", "nfs"),
      [nfsWarning, softWarning("soft"), untried("vers=3, nolock")],
    ],
    // /proc is not there, or has another line.
    [nfs, undefined, [nfsWarning.replace(" (nas:/export/mail on /mnt/mail)", "")]],
    [ext4, mounted("rw,vers=4.1,hard"), [nfsWarning]],
  ];
  for (const [number, mount, warnings] of table)
    assert.deepEqual(
      unfitStorage("/mnt/mail/spool", number, mount),
      warnings,
      `${number} ${mount?.type} ${mount?.options}`,
    );
});

test("a spool on SMB, 9P or FUSE is warned of", () => {
  const table: [number, string | undefined, RegExp | undefined][] = [
    [
      0xff534d42,
      "cifs",
      /^the spool \/s is on SMB \(nas:\/export\/mail on \/mnt\/mail\): whether what is stored/,
    ],
    [
      0xff534d42 | 0,
      undefined,
      /^the spool \/s is on SMB: .* has not been tried; take a local disk, or spool\.s3$/,
    ],
    [0xfe534d42, "smb3", /is on SMB/],
    [0x517b, "smbfs", /is on SMB/],
    [0x65735546, "fuse.sshfs", /is on FUSE .* is up to the program behind it/],
    [0x65735546, "virtiofs", /is on FUSE/],
    [0x65735546, undefined, /is on FUSE/],
    [0x01021997, "9p", /is on 9P/],
    [ext4, "fuse.mergerfs", /is on FUSE/],
    [ext4, "fusectl", undefined],
  ];
  for (const [number, type, expected] of table) {
    const found = unfitStorage("/s", number, type === undefined ? undefined : mounted("rw", type));
    assert.equal(found.length, expected === undefined ? 0 : 1, `${number} ${type}`);
    if (expected !== undefined) assert.match(found[0] ?? "", expected);
  }
});

test("the mount of a directory is the one with the longest place, and the last of those in one place", () => {
  const mounts = parseMounts(
    [
      "/dev/vda / ext4 rw,relatime 0 0",
      "nas:/a /mnt nfs4 rw,vers=4.2,hard 0 0",
      "nas:/b /mnt/mail nfs4 rw,vers=4.2,soft 0 0",
      "tmpfs /mnt/mail tmpfs rw 0 0",
      "nas:/c /mnt/mailbox nfs4 rw 0 0",
      "/dev/vdb /mnt/mail/gw/spool ext4 rw 0 0",
      "a line of another kind",
      "",
    ].join("\n"),
  );
  const table: [string, string | undefined][] = [
    ["/", "/dev/vda"],
    ["/var/lib/postern", "/dev/vda"],
    ["/mnt", "nas:/a"],
    ["/mnt/other", "nas:/a"],
    ["/mnt/mail", "tmpfs"],
    ["/mnt/mail/gw", "tmpfs"],
    ["/mnt/mail/gw/spool", "/dev/vdb"],
    ["/mnt/mailbox/x", "nas:/c"],
    ["/mnt/mailboxes", "nas:/a"],
  ];
  for (const [directory, source] of table)
    assert.equal(mountOf(directory, mounts)?.source, source, directory);
  assert.equal(mountOf("/mnt", []), undefined);
});

test("names with spaces, backslashes and other octets are read as they are, and printed in one line", () => {
  const [mount] = parseMounts(
    "nas:/a\\040b /mnt/my\\040mail\\134\\303\\274\\012x\\043 nfs4 rw,vers=4.2,hard 0 0\n",
  );
  assert.equal(mount?.source, "nas:/a b");
  assert.equal(mount?.place, "/mnt/my mail\\ü\nx#");
  assert.equal(mountOf("/mnt/my mail\\ü\nx#/spool", [mount])?.type, "nfs4");
  assert.match(
    unfitStorage("/s", nfs, mount)[0] ?? "",
    /^the spool \/s is on NFS \(nas:\/a b on \/mnt\/my mail\\ü\?x#\): /,
  );
  // No escape: not three octal digits.
  assert.equal(parseMounts("a /b\\09 c d")[0]?.place, "/b\\09");
  assert.equal(parseMounts("a /b\\777 c d")[0]?.place, "/b\\777");
});
