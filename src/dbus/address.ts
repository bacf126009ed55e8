/** Addresses of message buses (D-Bus specification, "Server Addresses"), in the form dbus-next connects to. */
import { AptOstreeError } from "../model/errors.ts";

const SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket";

/** The addresses to try, in order, for an address list or "system" (DBUS_SYSTEM_BUS_ADDRESS is honoured). Throws InvalidRequest. */
export function busAddresses(address: string): string[] {
  const list = address === "system" ? (process.env.DBUS_SYSTEM_BUS_ADDRESS ?? SYSTEM_BUS) : address;
  const addresses = list
    .split(";")
    .filter((one) => one !== "")
    .map((one) => normalise(one));
  if (addresses.length === 0) throw invalid(address);
  return addresses;
}

/**
 * One address without what dbus-next misreads: it undoes no "%XX", splits values at "=" and "," after us, and needs a native
 * addon for abstract sockets, which "socket" with a leading NUL does without.
 */
function normalise(address: string): string {
  const colon = address.indexOf(":");
  const values = new Map(
    address
      .slice(colon + 1)
      .split(",")
      .map((pair) => {
        const equals = pair.indexOf("=");
        return [pair.slice(0, equals), unescapeValue(pair.slice(equals + 1), address)] as const;
      }),
  );
  const path = values.get("path");
  const abstract = values.get("abstract");
  const socket = path ?? (abstract === undefined ? undefined : `\0${abstract}`);
  if (colon < 0 || address.slice(0, colon) !== "unix" || socket === undefined || /[,;=:]/.test(socket)) throw invalid(address);
  return `unix:socket=${socket}`;
}

function unescapeValue(value: string, address: string): string {
  try {
    return decodeURIComponent(value);
  } catch (cause) {
    throw invalid(address, cause);
  }
}

function invalid(address: string, cause?: unknown): AptOstreeError {
  return new AptOstreeError(
    "InvalidRequest",
    `cannot connect to the bus at ${JSON.stringify(address)}: it is neither "system" nor unix:path=… nor unix:abstract=…`,
    {
      cause,
    },
  );
}
