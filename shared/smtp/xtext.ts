/** xtext (RFC 3461 §4), the encoding of ENVID and ORCPT, with the UTF-8 addresses of RFC 6533 §3. Pure. */

/** Printable ASCII but `+` and `=`, or `+` and two hexadecimal digits. */
const xtext = /^(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*$/;
/** RFC 6533 §3: in addresses of type utf-8, a character by its code point. */
const embeddedCharacter = /\\x\{([0-9A-Fa-f]{2,6})\}/g;

/** @returns the decoded text; `undefined` when it is no xtext or contains control characters */
export function decodeXtext(encoded: string): string | undefined {
  if (!xtext.test(encoded)) return undefined;
  if (!encoded.includes("+")) return encoded;
  const decoded = encoded.replace(/\+(..)/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return isPrintable(decoded) ? decoded : undefined;
}

/** @param text  ASCII */
export function encodeXtext(text: string): string {
  return text.replace(/[^!-*,-<>-~]/g, (character) => `+${hex(character.charCodeAt(0), 2)}`);
}

/**
 * The value of ORCPT, `type;xtext`, with its address decoded.
 * For type utf-8 (RFC 6533 §3) the result contains the characters themselves, however they were written.
 * @returns `undefined` when it is malformed
 */
export function decodeOrcpt(value: string): string | undefined {
  const match = /^([A-Za-z0-9-]+);(.+)$/su.exec(value);
  const [, type = "", encoded = ""] = match ?? [];
  if (match === null) return undefined;
  if (type.toLowerCase() !== "utf-8") {
    const address = decodeXtext(encoded);
    return address === undefined ? undefined : `${type};${address}`;
  }
  if (!isPrintable(encoded) || /[\s=]/u.test(encoded)) return undefined;
  const plain = encoded.replace(/\+([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  let valid = !plain.replace(embeddedCharacter, "").includes("\\");
  const address = plain.replace(embeddedCharacter, (_, digits: string) => {
    const point = Number.parseInt(digits, 16);
    valid &&= point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff);
    return valid ? String.fromCodePoint(point) : "";
  });
  return valid && isPrintable(address) ? `${type};${address}` : undefined;
}

/** The value of ORCPT in ASCII, so that every server that offers DSN accepts it. @param orcpt  from decodeOrcpt() */
export function encodeOrcpt(orcpt: string): string {
  const separator = orcpt.indexOf(";");
  const type = orcpt.slice(0, separator);
  const address = orcpt.slice(separator + 1);
  if (type.toLowerCase() !== "utf-8") return `${type};${encodeXtext(address)}`;
  return `${type};${address.replace(/[^!-*,-<>-[\]-~]/gu, (character) => `\\x{${hex(character.codePointAt(0) ?? 0, 2)}}`)}`;
}

/** Neither C0, DEL nor C1: nothing that could break a reply, a header field or a log line. */
function isPrintable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 32 || (code >= 127 && code < 160) || code === 0x2028 || code === 0x2029) return false;
  }
  return true;
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}
