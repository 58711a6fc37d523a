import assert from "node:assert/strict";
import net from "node:net";
import fc from "fast-check";
import { domainOf, localPartOf, parsePath, unquotedLocalPart } from "../../../shared/mail/address.ts";
import { canonicalDomain } from "../../../shared/mail/domain.ts";
import { isReturnable } from "../../../shared/mail/notify.ts";
import { formatReceived } from "../../../shared/mail/received.ts";
import { addressMatcher, whyMatchesNothing } from "../../../shared/queue/holds/pattern.ts";
import { readMailbox } from "../../../shared/routing/mailbox.ts";
import { localPartKey } from "../../../shared/routing/patterns.ts";
import { splitAtNul, type Target } from "../engine/target.ts";

const target: Target = {
  about: "an address in a command, a queue filter or a hold, and the name that a client gives itself",
  maxOctets: 12_288,
  check(input) {
    const [first, second] = splitAtNul(input).map((part) => part.toString("utf8")) as [string, string];
    const path = parsePath(second, 0);
    const mailbox = readMailbox(second, "gw.example.net");
    assert.equal(typeof mailbox.domain, "string");
    if (path.kind === "mailbox") {
      const { address } = path;
      assert.equal(`${localPartOf(address)}@${domainOf(address)}`, address);
      assert.deepEqual(parsePath(`<${address}>`, 0), {
        ...path,
        sourceRoute: false,
        end: address.length + 2,
      });
      assert.ok(isReturnable(address));
      const domain = canonicalDomain(domainOf(address));
      assert.equal(canonicalDomain(domain), domain);
      assert.equal(readMailbox(address, "gw.example.net").domain, domain);
      assert.ok(unquotedLocalPart(localPartOf(address)).length <= 256);
      assert.equal(
        localPartKey(localPartOf(address)),
        localPartKey(localPartKey(localPartOf(address)).length === 0 ? '""' : localPartOf(address)),
      );
    }
    if (path.kind !== "invalid") assert.ok(path.end <= second.length);
    const matches = addressMatcher(first);
    if (matches(second)) assert.equal(whyMatchesNothing(first) === undefined || !second.includes("@"), true);
    const received = formatReceived({
      helo: first.split(/[\r\n]/, 1)[0] ?? "",
      clientAddress: "192.0.2.1",
      hostname: "gw.example.net",
      protocol: "ESMTP",
      id: "X",
      atMs: 0,
    });
    assert.match(received, /^Received: [\x20-\x7e]+\r\n(?:\t[\x20-\x7e]+\r\n)+$/);
    assert.equal(received.split(";").length >= 2, true);
  },
  seeds: [
    "*@example.com\0<a@example.com>",
    '"a b\\"@"@example.com',
    "mail.example.com\0<@a,@b:c@[192.0.2.1]>",
    "a*b*c\0axbyc",
    "[IPv6:::1]\0user%x@d",
    "\0a!b@xn--bcher-kva.example.",
    "\0<j\xc3\xb6rg@b\xc3\xbccher.example>",
  ],
  words: [
    "<",
    ">",
    "@",
    '"',
    "\\",
    ".",
    "*",
    "%",
    "!",
    "[",
    "]",
    "IPv6:",
    "@a:",
    "postmaster",
    "xn--",
    "\0",
    "\xc3\xbc",
    "example.com",
    "a.b",
  ],
  long: [
    ["a*b\0", "ab", ""],
    [`${"*a".repeat(500)}\0`, "a", ""],
    ["\0@", "[x],@", ":"],
    ["\0<@", "a,@", ">"],
    ["\0", '"\\a', ""],
    ["", "a.", "\0"],
    ["", "(", "\0a@b"],
  ],
  properties: {
    "a pattern with * matches as a regular expression would": fc.property(
      fc.string({ unit: fc.constantFrom("a", "*", ".", "@"), maxLength: 7 }),
      fc.string({ unit: fc.constantFrom("a", ".", "@"), maxLength: 7 }),
      (pattern, text) => {
        fc.pre(pattern !== "");
        const pieces = pattern.split("*").map((piece) => piece.replaceAll(".", "\\."));
        assert.equal(addressMatcher(pattern)(text), new RegExp(`^${pieces.join(".*")}$`).test(text));
      },
    ),
    "an address of the grammar is read as it was written": fc.property(
      fc.oneof(
        fc.stringMatching(/^[a-z0-9!#$&'*+/=?^_`{|}~.-]{1,64}$/),
        fc.stringMatching(/^"(?:[ !#-[\]-~]|\\[ -~]){0,40}"$/),
      ),
      fc.oneof(
        fc.domain(),
        fc.ipV4().map((ip) => `[${ip}]`),
        fc
          .ipV6()
          .filter((ip) => net.isIPv6(ip))
          .map((ip) => `[IPv6:${ip}]`),
      ),
      (local, domain) => {
        const address = `${local}@${domain}`;
        assert.deepEqual(parsePath(`<${address}> SIZE=1`, 0), {
          kind: "mailbox",
          address,
          sourceRoute: false,
          ascii: true,
          end: address.length + 2,
        });
      },
    ),
  },
};
export default target;
