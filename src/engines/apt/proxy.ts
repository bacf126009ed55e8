/** The proxies that apt's own configuration names (apt-transport-http(1): `Acquire::SCHEME::Proxy` and `…::Proxy::HOST`). */
import type { ReadRoot } from "./readroot.ts";
import { readSettings } from "./settings.ts";

/** The proxy of an address, or null for none ("DIRECT"). */
type ProxyFor = (uri: string) => string | null;

/** The proxies of a root, asked for when the first address is: most transactions download nothing. */
export function proxiesOf(root: ReadRoot): (uri: string) => Promise<string | null> {
  let reading: Promise<ProxyFor> | undefined;
  return async (uri) => {
    reading ??= readProxies(root);
    return (await reading)(uri);
  };
}

/** Asked in a planning root, so that the running system's settings count. */
async function readProxies(root: ReadRoot): Promise<ProxyFor> {
  const settings = new Map<string, string>();
  for (const [option, value] of await readSettings(root)) {
    const match = /^Acquire::(https?)::Proxy(?:::(\S+))?$/i.exec(option);
    if (match?.[1] !== undefined) settings.set(`${match[1].toLowerCase()} ${(match[2] ?? "").toLowerCase()}`, value);
  }
  return (uri) => {
    const { protocol, hostname } = new URL(uri);
    const scheme = protocol.replace(":", "");
    const found = settings.get(`${scheme} ${hostname.toLowerCase()}`) ?? settings.get(`${scheme} `);
    return found === undefined || found.toUpperCase() === "DIRECT" ? null : found;
  };
}
