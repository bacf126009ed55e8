/** Order of Debian version numbers. */

/**
 * Compares two versions as dpkg does (deb-version(7)): below, equal to or above zero. Both are versions that dpkg accepts; of
 * others the order is total, but means nothing.
 */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [split(a), split(b)];
  return left.epoch - right.epoch || comparePart(left.upstream, right.upstream) || comparePart(left.revision, right.revision);
}

function split(version: string): { epoch: number; upstream: string; revision: string } {
  const colon = version.indexOf(":");
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf("-");
  return {
    epoch: colon < 0 ? 0 : Number(version.slice(0, colon)) || 0,
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? "" : rest.slice(dash + 1),
  };
}

/** Non-digits and digits by turns: "~" sorts before the end, the end before letters, letters before the rest. */
function comparePart(a: string, b: string): number {
  const [left, right] = [a.match(/\d+|\D/g) ?? [], b.match(/\d+|\D/g) ?? []];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = compareToken(left[i] ?? "", right[i] ?? "");
    if (difference !== 0) return difference;
  }
  return 0;
}

/** A number that is missing counts as zero; numbers are compared as such, however long. */
function compareToken(a: string, b: string): number {
  const [digitsA, digitsB] = [/^\d*$/.test(a), /^\d*$/.test(b)];
  if (digitsA && digitsB) {
    const difference = BigInt(a === "" ? "0" : a) - BigInt(b === "" ? "0" : b);
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }
  return (digitsA ? 0 : rank(a)) - (digitsB ? 0 : rank(b));
}

function rank(character: string): number {
  if (character === "~") return -1;
  const code = character.charCodeAt(0);
  return /[A-Za-z]/.test(character) ? code : code + 256;
}
