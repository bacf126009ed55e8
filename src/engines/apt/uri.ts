/** What an address is made of. */

/** "host" or "host:port" of an address, "" for one that has none (`file:`). Never throws. */
export function hostOf(uri: string): string {
  return URL.canParse(uri) ? new URL(uri).host : "";
}

/** The scheme of an address in lower case, without its colon: "http", "mirror+file"; "" where there is none. */
export function schemeOf(uri: string): string {
  return /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase() ?? "";
}

/** The value of an Authorization header for the user and password of an address (RFC 7617). */
export function basicAuthorizationOf(url: URL): string {
  return `Basic ${Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`).toString("base64")}`;
}
