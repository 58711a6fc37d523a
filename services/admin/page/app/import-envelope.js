/** Messages to import, with their envelopes, from the octets of a file. Pure: the tests run it in Node. */

/**
 * @typedef {{ id?: string, from?: string, to: string[], octets: Uint8Array }} Imported
 * @param {Uint8Array} file  one message, with the fields of `queue export --envelope` at its top or without
 * @returns {Imported}
 */
export function readExport(file) {
  /** @type {Imported} */
  const message = { to: [], octets: file };
  for (;;) {
    const end = message.octets.indexOf(10);
    const line = new TextDecoder().decode(message.octets.subarray(0, end + 1));
    const field = /^X-Postern-(Id|From|To): ([^\r\n]*)\r?\n$/.exec(line);
    if (field === null) return message;
    const value = field[2] ?? "";
    const address = value.replace(/^<|>$/g, "");
    if (field[1] === "Id") message.id = value;
    else if (field[1] === "From") message.from = address;
    else message.to.push(address);
    message.octets = message.octets.subarray(end + 1);
  }
}

/** @param {Uint8Array} octets */
export function base64(octets) {
  let text = "";
  for (let start = 0; start < octets.length; start += 32_768)
    text += String.fromCharCode(...octets.subarray(start, start + 32_768));
  return btoa(text);
}
