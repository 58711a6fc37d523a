/** A client that means to get a command past a policy: what it sends is meant to be read in two ways. */
import { pick, type Random } from "../../unit/ingress/outgoing/model-dialogue.ts";
import { goodCredentials } from "./server.ts";

/** One thing that it sends, and whether it then waits until the server has nothing more to say. */
export interface Move {
  octets: string;
  waits: boolean;
}

/** Where servers and standards have limits of a line. */
const limits = [512, 1000, 2048, 12_288, 16_384];

export function randomMoves(random: Random): Move[] {
  const moves: Move[] = [];
  const chance = (likelihood: number) => random() < likelihood;
  const send = (octets: string, patience = 0.6) => moves.push({ octets, waits: chance(patience) });
  const smuggled = () =>
    pick(random, [
      "MAIL FROM:<smuggled@x>",
      "STARTTLS",
      "XCLIENT LOGIN=root",
      "mail from:<smuggled@x>",
      "starttls",
      "STARTTLSX",
      "MAILX FROM:<smuggled@x>",
    ]);
  const eol = () => (chance(0.8) ? "\r\n" : pick(random, ["\n", "\r", "\r\r\n", "\n\r", "\0\r\n", "\r\0\n"]));
  const hidden = () => `${smuggled()}\r\n`;
  const filler = (beginning: string, letter: string) => {
    const room = pick(random, limits) - beginning.length - pick(random, [0, 0, 0, 1, 2]);
    return beginning + letter.repeat(Math.max(0, room));
  };
  const base64 = () => "QUJD".repeat(Math.floor(random() * 5));

  const acts: (() => void)[] = [
    () => send(`${pick(random, ["EHLO a", "HELO a", "ehlo a", "LHLO a"])}${eol()}`),
    () => send(`${pick(random, ["HELO a", "EHLO a"])}\r\nBDAT 30\r\n${hidden()}`),
    () => send(`NOOP${pick(random, ["\r", "\n", "\0", "\0\r", " \r\n", "\v", "\f"])}${hidden()}`),
    () => send(`${filler("NOOP ", "x")}${hidden()}`),
    () => send(`AUTH PLAIN ${chance(0.3) ? goodCredentials : base64()}${eol()}`, 0.9),
    () => send(`${filler("AUTH PLAIN ", "A")}${hidden()}`),
    () => send(`AUTH PLAIN ${base64()}${pick(random, ["\r", "\n", "\0", " "])}${hidden()}`),
    () => {
      send(`AUTH LOGIN${eol()}`, 0.9);
      send(
        pick(random, [
          `${goodCredentials}\r\n`,
          `*\r\n${hidden()}`,
          `*\r${hidden()}`,
          `${base64()}\r${hidden()}`,
          `${base64()}\n${hidden()}`,
          `${filler("", "A")}${hidden()}`,
          `${filler("", "A")}\r${hidden()}`,
          hidden(),
        ]),
        0.8,
      );
    },
    () => {
      send(`AUTH ${pick(random, ["PLAIN", "GSSAPI", "X-OWN"])} ${goodCredentials}\r\n`, 0.9);
      send(`\0${eol()}${hidden()}`);
    },
    () => {
      if (chance(0.7)) send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
      send(`DATA${eol()}`, 0.8);
      send(message());
    },
    () => {
      const chunk = `${hidden().repeat(1 + Math.floor(random() * 3))}`;
      const size = pick(random, [
        chunk.length,
        2 ** 32 + 2,
        2 ** 31,
        2 ** 32,
        `0${chunk.length}`,
        `00000000${chunk.length}`,
        `${chunk.length} x`,
        `+${chunk.length}`,
      ]);
      const verb = pick(random, ["BDAT", "BDAT", "BDAT", " BDAT", "bdat", "BDAT ", "\tBDAT"]);
      send(`${verb} ${size}${chance(0.5) ? " LAST" : ""}${eol()}${chunk}`);
    },
    () => send(`${pick(random, [" ", "\t", "\r", "\0", ""])}${hidden()}`),
    () => send(`${pick(random, ["XEXCH50 8 2", "ATRN a.test", "TURN", "XYZZY", ""])}\r\n${hidden()}`),
    () => send(`XCLIENT ADDR=192.0.2.1\r\n${hidden()}`),
    () => send(`STARTTLS\r\n${hidden()}`, 0.3),
    () => send(`RSET\r\nNOOP${eol()}`),
  ];
  if (chance(0.1)) send(`STARTTLS\r\n${hidden()}`, 0);
  if (chance(0.8)) send("EHLO client.test\r\n", 0.9);
  if (chance(0.3)) send(`AUTH PLAIN ${goodCredentials}\r\n`, 0.9);
  for (let i = 1 + Math.floor(random() * 8); i > 0; i--) pick(random, acts)();
  return moves;

  function message(): string {
    const newline = () => pick(random, ["\r\n", "\n", "\r", "\r\0\n", "\r\n\0", "\0", "\n\r"]);
    const ends = () => `${newline()}.${chance(0.1) ? "\0" : ""}${newline()}${hidden()}`;
    let text = pick(random, ["Subject: x\r\n\r\n", "", ".", "\n"]);
    for (let i = Math.floor(random() * 4); i > 0; i--)
      text += pick(random, [ends(), hidden(), "..\r\n", "\r\n.x"]);
    return `${text}\r\n.\r\n`;
  }
}
