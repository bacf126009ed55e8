/** A disk that is too small for what is asked. */
import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { World } from "../harness/world.ts";

const MIB = 1024 * 1024;
const DISK_MIB = 2048;
/** What may be left for a layer: less than the package, more than the journal needs. */
const LEFT_MIB = 60;

describe("a full disk", () => {
  const directory = join(checkoutRoot(), ".sandbox/test/e2e-disk");
  const image = `${directory}.img`;
  let world: World;

  beforeAll(async () => {
    await exec("sh", ["-c", `! mountpoint -q "$1" || umount "$1"`, "sh", directory]);
    await mkdir(directory, { recursive: true });
    await writeFile(image, "");
    await truncate(image, DISK_MIB * MIB);
    await exec("mkfs.ext4", ["-q", "-m", "0", image]);
    await exec("mount", ["-o", "loop", image, directory]);
    world = await World.make("e2e-disk/host");
    // ostree's own reserve would refuse long before the disk is full.
    await world.host.exec("ostree", ["config", "--repo=/sysroot/ostree/repo", "set", "core.min-free-space-percent", "0"]);
  });
  afterAll(async () => {
    await world?.close();
    await exec("umount", [directory]);
    await rm(image, { force: true });
    await rm(directory, { recursive: true, force: true });
  });

  test("is named as such, leaves the old state intact, and once there is room again the same request succeeds", async () => {
    // Random, so that nothing can be linked or compressed away.
    await world.offer(
      {
        name: "large",
        version: "1",
        files: { "/usr/share/large": "large" },
        scripts: { postinst: `head -c ${2 * LEFT_MIB * MIB} /dev/urandom > /usr/share/large.data` },
      },
      { name: "small", version: "1", files: { "/usr/share/small": "small" } },
    );
    await world.ok("prefetch", "large");
    const filler = join(directory, "filler");
    const { stdout } = await exec("df", ["--output=avail", "--block-size=1M", directory]);
    await exec("fallocate", ["-l", `${Number(stdout.split("\n")[1]) - LEFT_MIB}M`, filler]);
    await world.failing(["install", "large"], { code: "NoSpace", message: /No space left on device|full/ });
    await world.ok("install", "small");
    await world.ok("cleanup", "--pending", "--base");
    await rm(filler);
    await world.ok("install", "large");
    expect((await world.next()).layered).toMatchObject([{ name: "large" }]);
    await world.expectSound();
  });

  test("while packages are downloaded is named as such", async () => {
    await world.ok("cleanup", "--pending", "--base");
    await world.offer({ name: "heavy", version: "1", files: { "/usr/share/heavy": Buffer.alloc(40 * MIB, "heavy") } });
    const filler = join(directory, "filler");
    const { stdout } = await exec("df", ["--output=avail", "--block-size=1M", directory]);
    await exec("fallocate", ["-l", `${Number(stdout.split("\n")[1]) - 20}M`, filler]);
    await world.failing(["install", "heavy"], { code: "NoSpace", message: /cannot download .* are free/ });
    await rm(filler);
    await world.ok("install", "heavy");
  });
});
