import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type PowerSupply, whyNotNow, whyNotOnBattery, whyNotOnNetwork } from "../../src/engines/conditions.ts";

function supply(type: string, values: Partial<PowerSupply> = {}): PowerSupply {
  return { type, scope: "", status: "", capacity: "", ...values };
}

describe("a metered network", () => {
  it("is a reason to wait where NetworkManager knows it or guesses it", () => {
    for (const answer of ["u 1\n", "u 3\n"]) expect(whyNotOnNetwork(answer), answer).toBe("the network is metered");
    for (const answer of ["u 0\n", "u 2\n", "u 4\n", "", "u 13\n", "s 1\n", "Failed to get property Metered"])
      expect(whyNotOnNetwork(answer), answer).toBeNull();
  });
});

describe("a battery", () => {
  it("is a reason to wait while it is low and discharging", () => {
    expect(whyNotOnBattery([supply("Mains"), supply("Battery", { status: "Discharging", capacity: "39" })])).toBe(
      "the battery is at 39 % and discharging",
    );
    expect(whyNotOnBattery([supply("Battery", { status: "Discharging", capacity: "40" })])).toBeNull();
    for (const status of ["Charging", "Full", "Not charging", "Unknown"])
      expect(whyNotOnBattery([supply("Battery", { status, capacity: "10" })]), status).toBeNull();
  });

  it("is none where another one is full enough", () => {
    expect(
      whyNotOnBattery([supply("Battery", { status: "Not charging", capacity: "90" }), supply("Battery", { status: "Discharging", capacity: "5" })]),
    ).toBeNull();
  });

  it("of a mouse does not count, nor one that tells nothing, nor none", () => {
    expect(whyNotOnBattery([supply("Battery", { scope: "Device", status: "Discharging", capacity: "5" })])).toBeNull();
    expect(whyNotOnBattery([supply("Battery", { status: "Discharging" })])).toBeNull();
    expect(whyNotOnBattery([])).toBeNull();
  });
});

describe("a machine", () => {
  it("with neither NetworkManager nor a power supply has no reason to wait", async () => {
    expect(await whyNotNow("/nonexistent/power_supply")).toBeNull();
  });

  it("is asked for its batteries as the kernel shows them", async () => {
    const directory = mkdtempSync(join(tmpdir(), "power-"));
    try {
      const files = { AC: { type: "Mains\n", online: "0\n" }, BAT0: { type: "Battery\n", status: "Discharging\n", capacity: "12\n" } };
      for (const [name, contents] of Object.entries(files)) {
        mkdirSync(join(directory, name));
        for (const [file, text] of Object.entries(contents)) writeFileSync(join(directory, name, file), text);
      }
      expect(await whyNotNow(directory)).toBe("the battery is at 12 % and discharging");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
