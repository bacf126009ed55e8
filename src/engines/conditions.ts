/** Whether now is a time for work that nobody asked for: not while the network is paid by volume or the battery runs out. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ExecError, exec } from "./exec.ts";

/** Below this a battery that is discharging is spared. */
const MIN_BATTERY_PERCENT = 40;
const ASK_TIMEOUT_MS = 5000;
const POWER_SUPPLIES = "/sys/class/power_supply";

/** Why unasked work should not run now, for people ("the network is metered"), or null. What is absent is no reason: a server has no battery. */
export async function whyNotNow(powerSupplies: string = POWER_SUPPLIES): Promise<string | null> {
  return whyNotOnNetwork(await askMetered()) ?? whyNotOnBattery(await readSupplies(powerSupplies));
}

/** What NetworkManager's property Metered says, as busctl(1) prints it: "u 1". NMMetered has 1 for yes and 3 for a guess of yes. */
export function whyNotOnNetwork(answer: string): string | null {
  const value = /^u (\d+)$/.exec(answer.trim())?.[1];
  return value === "1" || value === "3" ? "the network is metered" : null;
}

/** One entry of /sys/class/power_supply (sysfs-class-power): the files that matter, empty where it has them not. */
export interface PowerSupply {
  /** "Battery", "Mains", "USB" or "UPS". */
  readonly type: string;
  /** "Device" for the battery of a mouse or the like. */
  readonly scope: string;
  /** "Discharging", "Charging", "Full", "Not charging" or "Unknown". */
  readonly status: string;
  /** 0 to 100. */
  readonly capacity: string;
}

/** The machine's own batteries count, and the fullest of them decides. */
export function whyNotOnBattery(supplies: readonly PowerSupply[]): string | null {
  const batteries = supplies.filter(({ type, scope, capacity }) => type === "Battery" && scope !== "Device" && /^\d+$/.test(capacity));
  const percent = Math.max(...batteries.map(({ capacity }) => Number(capacity)));
  const discharging = batteries.some(({ status }) => status === "Discharging");
  return discharging && percent < MIN_BATTERY_PERCENT ? `the battery is at ${percent} % and discharging` : null;
}

/** Empty where there is no bus, no NetworkManager or no answer. It is not started for this. */
async function askMetered(): Promise<string> {
  const manager = ["org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager"];
  try {
    const args = ["--system", "--auto-start=no", "--timeout=3", "get-property", ...manager, "Metered"];
    return (await exec("busctl", args, { timeoutMs: ASK_TIMEOUT_MS })).stdout;
  } catch (error) {
    if (error instanceof ExecError || (error as { code?: unknown }).code === "Timeout") return "";
    throw error;
  }
}

async function readSupplies(directory: string): Promise<PowerSupply[]> {
  const names = await readdir(directory).catch(() => []);
  return await Promise.all(
    names.map(async (name) => {
      const read = async (file: string): Promise<string> => (await readFile(join(directory, name, file), "utf8").catch(() => "")).trim();
      return { type: await read("type"), scope: await read("scope"), status: await read("status"), capacity: await read("capacity") };
    }),
  );
}
