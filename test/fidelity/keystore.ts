/**
 * Java's keystore of trusted certificates (the format JKS, as the JDK's JavaKeyStore writes it; numbers are big-endian): magic, version,
 * count; then of each certificate a tag, its alias, the time it was added, its type and its bytes; then a digest of all that.
 */

const HEADER_BYTES = 12;
const TIME_BYTES = 8;
const TRUSTED_CERTIFICATE = 2;

/** The certificates by alias, without the times and the digest. What is no such keystore is given as it is. */
export function certificatesOf(content: Buffer): string {
  if (content.length < HEADER_BYTES || content.readUInt32BE(0) !== 0xfeedfeed) return content.toString("latin1");
  const found: string[] = [];
  let at = HEADER_BYTES;
  const take = (bytes: number): Buffer => {
    at += bytes;
    return content.subarray(at - bytes, at);
  };
  for (let left = content.readUInt32BE(8); left > 0; left--) {
    if (take(4).readUInt32BE() !== TRUSTED_CERTIFICATE) return content.toString("latin1");
    const alias = take(take(2).readUInt16BE()).toString("latin1");
    take(TIME_BYTES);
    const type = take(take(2).readUInt16BE()).toString("latin1");
    found.push(`${alias} ${type} ${take(take(4).readUInt32BE()).toString("base64")}`);
  }
  return found.sort().join("\n");
}
