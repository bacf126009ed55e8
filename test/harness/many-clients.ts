/**
 * A program that is many clients at once. Arguments: bus, how many. It connects, tells its parent "connected", then each client
 * asks for the status and waits for the next one; it tells how many were answered, and with what. Then each listens for the end of a
 * transaction, and the program tells how many heard of it; at last they wait for a status again, until they are killed.
 */
import { Bus } from "../../src/dbus/bus.ts";

/** What the program tells its parent. */
export type Told =
  | "connected"
  | "waiting"
  | "listening"
  | { readonly heard: number }
  | { readonly statuses: number; readonly epochs: readonly number[] };

const [address = "", count = "0"] = process.argv.slice(2);
/** As many at a time as a bus likes to greet. */
const AT_A_TIME = 25;

const tell = (told: Told): void => void process.send?.(told);
const clients: Bus[] = [];
while (clients.length < Number(count)) {
  const wanted = Math.min(AT_A_TIME, Number(count) - clients.length);
  clients.push(...(await Promise.all(Array.from({ length: wanted }, () => Bus.connect(address, { connectTimeoutMs: 60_000 })))));
}
tell("connected");
await new Promise((resolve) => process.once("message", resolve));

const NAME = "org.debian.aptostree1";
const ask = async (client: Bus, iface: string, member: string, signature = "", body: readonly unknown[] = []): Promise<number> => {
  const [text] = await client.call({
    destination: NAME,
    path: "/org/debian/aptostree1",
    interface: iface,
    member,
    signature,
    body,
    timeoutMs: 120_000,
  });
  return (JSON.parse(text as string) as { snapshot: { epoch: number } }).snapshot.epoch;
};
const now = await Promise.all(clients.map((client) => ask(client, NAME, "Status")));
const next = clients.map((client) => ask(client, `${NAME}.Manager`, "WaitStatus", "tu", [now[0], 120_000]));
tell("waiting");
tell({ statuses: now.length, epochs: await Promise.all(next) });

const heard = clients.map(async (client) => {
  const finished = new Promise<void>((resolve) => {
    client.onSignal(({ member }) => (member === "Finished" ? resolve() : undefined));
  });
  await client.addMatch(`type='signal',sender='${NAME}',interface='${NAME}.Transaction'`);
  return { finished };
});
const listening = await Promise.all(heard);
tell("listening");
await Promise.all(listening.map(({ finished }) => finished));
tell({ heard: listening.length });
for (const client of clients) ask(client, `${NAME}.Manager`, "WaitStatus", "tu", [1_000_000, 120_000]).catch(() => process.exit(1));
