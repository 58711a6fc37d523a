/** Messages to import, with their envelopes, from the octets of a file: one message, or an mbox. Pure. */

export interface ImportedMessage {
  /** Of the export; absent elsewhere. */
  id?: string;
  /** Without angle brackets; absent where the file does not say. */
  from?: string;
  to: string[];
  octets: Buffer;
}

/** RFC 4155: an mbox begins with `From `. Latin-1 keeps every octet as it is. */
export function readMessages(file: Buffer): ImportedMessage[] {
  const text = file.toString("latin1");
  if (!text.startsWith("From ")) return [readMessage(text)];
  return text
    .split(/(?:^|\r?\n)(?=From [^\r\n]+\r?\n)(?<=^|\n)/)
    .filter((part) => part.startsWith("From "))
    .map((part) => {
      const [line = ""] = part.split(/\r?\n/, 1);
      const message = readMessage(part.slice(part.indexOf("\n") + 1).replaceAll(/^>(>*From )/gm, "$1"));
      const [, sender] = /^From (\S+) /.exec(line) ?? [];
      return message.from === undefined && sender !== undefined && /.@./.test(sender)
        ? { ...message, from: sender }
        : message;
    });
}

/** Takes the fields of `queue export --envelope` away from the top. */
function readMessage(text: string): ImportedMessage {
  const message: Omit<ImportedMessage, "octets"> = { to: [] };
  let rest = text;
  for (;;) {
    const field = /^X-Postern-(Id|From|To): ([^\r\n]*)\r?\n/.exec(rest);
    if (field === null) return { ...message, octets: Buffer.from(rest, "latin1") };
    rest = rest.slice(field[0].length);
    const value = Buffer.from(field[2] ?? "", "latin1").toString("utf8");
    const address = value.replace(/^<|>$/g, "");
    if (field[1] === "Id") message.id = value;
    else if (field[1] === "From") message.from = address;
    else message.to.push(address);
  }
}
