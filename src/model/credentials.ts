/** User names and passwords in addresses (RFC 3986, userinfo): for whoever fetches what is there, and for nobody who only reads of it. */

/**
 * The text with the userinfo of every URI in it taken out: "http://me:secret@host/x" becomes "http://host/x". One pass, as it is applied to
 * what anybody wrote; it reaches to the last "@" of an authority, over quotes too, which parsers of addresses let into a password.
 */
export function withoutCredentials(text: string): string {
  return text.replace(/(?<=[a-z0-9+.-]):\/\/[^\s/?#]*@/gi, "://");
}
