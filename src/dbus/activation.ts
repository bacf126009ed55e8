/** Services that a bus starts for their callers (D-Bus specification, "Message Bus Starting Services"). */
import { type Bus, DRIVER } from "./bus.ts";

/** Whether the bus would start the owner of a name for a caller. */
export async function isActivatable(bus: Bus, name: string): Promise<boolean> {
  const [names] = await bus.call({ ...DRIVER, member: "ListActivatableNames" });
  return (names as string[]).includes(name);
}

/** Has the bus start the owner of a name, and waits until it has. Throws RemoteError where it cannot. */
export async function startOwner(bus: Bus, name: string): Promise<void> {
  await bus.call({ ...DRIVER, member: "StartServiceByName", signature: "su", body: [name, 0] });
}
