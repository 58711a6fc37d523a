/** TLSA records (RFC 6698 §2.1): parses them and selects those usable for mail (RFC 7672, RFC 7671). Pure. */

export interface TlsaRecord {
  /** 2: a trust anchor, DANE-TA. 3: the server's own certificate, DANE-EE. */
  usage: number;
  /** 0: the whole certificate. 1: its public key (SubjectPublicKeyInfo). */
  selector: number;
  /** 0: the octets themselves. 1: their SHA-256. 2: their SHA-512. */
  matching: number;
  data: Buffer;
}

export const daneTa = 2;
export const daneEe = 3;
export const wholeCertificate = 0;
export const publicKey = 1;
export const exact = 0;
const sha256 = 1;
const sha512 = 2;
const digestOctets: Record<number, number> = { [sha256]: 32, [sha512]: 64 };

/** Stands for an unreadable record: 255 is for private use (RFC 6698 §7.2), so it is never usable. */
const unreadable: TlsaRecord = { usage: 255, selector: 255, matching: 255, data: Buffer.alloc(0) };

/** @param rdata  the octets of the record; anything else is unreadable */
export function parseTlsa(rdata: unknown): TlsaRecord {
  if (!Buffer.isBuffer(rdata)) return unreadable;
  const [usage, selector, matching] = rdata;
  if (usage === undefined || selector === undefined || matching === undefined) return unreadable;
  return { usage, selector, matching, data: Buffer.from(rdata.subarray(3)) };
}

/**
 * The usable records.
 *
 * RFC 7672 §3.1.3: usages 0 and 1 (PKIX-TA, PKIX-EE) are not for SMTP. RFC 6698 §4.1: unknown and malformed records are
 * unusable. RFC 7671 §9: of the digests for one usage and selector only the strongest counts, so that a broken
 * algorithm does not weaken a good one.
 */
export function usableRecords(records: readonly TlsaRecord[]): TlsaRecord[] {
  const known = records.filter(isUsable);
  return known.filter(
    (record) =>
      record.matching === exact ||
      !known.some(
        (other) =>
          other.usage === record.usage &&
          other.selector === record.selector &&
          other.matching > record.matching,
      ),
  );
}

function isUsable({ usage, selector, matching, data }: TlsaRecord): boolean {
  if (usage !== daneTa && usage !== daneEe) return false;
  if (selector !== wholeCertificate && selector !== publicKey) return false;
  return matching === exact ? data.length > 0 : digestOctets[matching] === data.length;
}

/** Usage, selector and matching type: `3 1 1`. */
export function kindOf({ usage, selector, matching }: TlsaRecord): string {
  return `${usage} ${selector} ${matching}`;
}
