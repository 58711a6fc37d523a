import assert from "node:assert/strict";
import { isUtf8 } from "node:buffer";
import { DataScanner } from "../../../services/ingress/message/data-scanner.ts";
import { SessionInput } from "../../../services/ingress/session/session-input.ts";
import { CommandLineReader, maxCommandOctets } from "../../../shared/smtp/command-line.ts";
import { piecesOf, type Target } from "../engine/target.ts";

const longestLine = 2048;

const target: Target = {
  about: "the octets of a client: command lines, and messages behind DATA",
  maxOctets: 65_536,
  check(input) {
    for (const tolerates of [false, true]) {
      const whole = read([Buffer.from(input)], tolerates);
      assert.deepEqual(read(piecesOf(input), tolerates), whole);
      assert.deepEqual(whole, expected(input, tolerates));
    }
    assert.deepEqual(proxyLines(piecesOf(input)), proxyLines([input]));
  },
  seeds: [
    "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\n..a\r\n.\r\nQUIT\r\n",
    "DATA\r\n.\r\nDATA\r\na\n.\n\r.\r\r\n.\r\nNOOP\r\n",
    "NOOP \xff\r\nNOOP\0\r\nNO\rOP\r\nNOOP\n",
    `${"x".repeat(2047)}\r\n${"y".repeat(2046)}\r\n`,
  ],
  words: ["DATA\r\n", "\r\n.\r\n", "\n.\n", "\r\n", "QUIT\r\n", "\r.\r", ".", "x".repeat(2000)],
  long: [
    ["", "x", "\r\n"],
    ["", "\r\n", ""],
    ["DATA\r\n", ".\r\n", ""],
    ["DATA\r\n", "..\r\n", "\r\n.\r\n"],
  ],
};
export default target;

/** What a session hears: lines, faults, and for each message its octets. */
function read(pieces: readonly Buffer[], tolerates: boolean): string[] {
  const heard: string[] = [];
  let scanner = new DataScanner(false);
  let body: Buffer[] = [];
  const input = new SessionInput({
    receiveLine(line) {
      heard.push(`line ${line}`);
      if (line !== "DATA") return;
      scanner = new DataScanner(false);
      body = [];
      input.startData();
    },
    receiveFault: (fault) => heard.push(fault),
    receiveData(chunk) {
      const end = scanner.push(chunk);
      body.push(Buffer.from(scanner.body));
      if (end >= 0)
        heard.push(
          scanner.bareNewline ? "bare newline" : `message ${Buffer.concat(body).toString("latin1")}`,
        );
      return end;
    },
    inputUsedUp() {},
    inputEnded() {},
    inputFailed(error) {
      throw error;
    },
    toleratesBareNewline: tolerates,
    expectsResponse: false,
  });
  for (const piece of pieces) input.write(piece);
  return heard;
}

/** The same in a plain way, from the whole. */
function expected(input: Buffer, tolerates: boolean): string[] {
  const heard: string[] = [];
  let text = input.toString("latin1");
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
    const raw = text.slice(0, end);
    text = text.slice(end + 1);
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    const octets = Buffer.from(line, "latin1");
    if (raw.length + 1 > longestLine) heard.push("too-long");
    else if (/[\r\0]/.test(line) || (line === raw && !tolerates) || !isUtf8(octets)) heard.push("malformed");
    else {
      heard.push(`line ${octets.toString("utf8")}`);
      if (line !== "DATA") continue;
      const dot = `\r\n${text}`.indexOf("\r\n.\r\n");
      if (dot < 0) return heard;
      const body = `\r\n${text}`
        .slice(0, dot + 2)
        .replaceAll("\r\n.", "\r\n")
        .slice(2);
      const isBare = /\r(?!\n)|(?<!\r)\n/.test(`\r\n${text}`.slice(0, dot + 2));
      heard.push(isBare ? "bare newline" : `message ${body}`);
      text = text.slice(dot + 3);
    }
  }
  return heard;
}

function proxyLines(pieces: readonly Buffer[]): string[] {
  const reader = new CommandLineReader();
  const lines: string[] = [];
  let isLong = false;
  for (const piece of pieces)
    for (let at = 0; at < piece.length; ) {
      if (isLong) {
        // The caller skips the rest of a line that is too long.
        const end = piece.indexOf(0x0a, at);
        if (end < 0) break;
        isLong = false;
        at = end + 1;
        continue;
      }
      const found = reader.readLine(piece, at);
      if (found === undefined) break;
      const isOver = found.line.length > maxCommandOctets;
      lines.push(isOver ? "too long" : found.line.toString("latin1"));
      isLong = !found.ended;
      at = found.next;
    }
  return lines;
}
