/** CRC-32C (Castagnoli, RFC 3385), which the PROXY protocol uses; zlib has only the other CRC-32. Pure. */

const table = new Uint32Array(256).map((_, octet) => {
  let crc = octet;
  // The polynomial 0x1EDC6F41 with its bits reversed.
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** @returns an unsigned 32-bit number */
export function crc32c(octets: Uint8Array): number {
  let crc = 0xffffffff;
  for (const octet of octets) crc = (table[(crc ^ octet) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
