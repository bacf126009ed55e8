/** Accounts that packages create: their numbers last, their files belong to them, and the accounts of the host's people stay on the host. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import type { DebOptions } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

/** cap_net_bind_service=ep, as the kernel keeps it (capabilities(7), vfs_cap_data version 2). */
const CAPABILITY = "0x0100000200040000000000000000000000000000";
const CANARY = "canary-7f2e";

const service = (name: string): DebOptions => ({
  name,
  version: "1",
  files: { [`/usr/bin/${name}`]: name, [`/usr/share/${name}/file`]: name },
  scripts: {
    postinst: `adduser --system --group --quiet --no-create-home --home /var/lib/${name} ${name}
      install -d -o ${name} -g ${name} -m 2750 /var/lib/${name}; echo d > /var/lib/${name}/data; chown ${name}:${name} /var/lib/${name}/data
      chown ${name}:${name} /usr/bin/${name}; chmod 4755 /usr/bin/${name}
      chown root:${name} /usr/share/${name}/file; setfattr -n security.capability -v ${CAPABILITY} /usr/share/${name}/file`,
  },
});

/** Each test installs and boots several times. */
const LONG_MS = 300_000;

describe("an account of a package", { timeout: LONG_MS }, () => {
  let world: World;
  let etc: string;
  beforeAll(async () => {
    world = await World.make("e2e-accounts");
    await world.offer(service("first"), service("second"), {
      name: "joins",
      version: "1",
      files: { "/usr/share/joins": "j" },
      scripts: { postinst: "addgroup --system --quiet certs; adduser --quiet www-data certs" },
    });
  });
  beforeEach(async () => {
    await world.reset();
    etc = join(await world.host.bootedDeployment(), "etc");
  });
  afterAll(() => world?.close());

  const sh = async (script: string): Promise<string> => (await world.host.exec("sh", ["-c", script])).stdout;
  /** The numbers of an account in the next deployment's own files, with those of its files below /usr. */
  async function numbersOf(name: string): Promise<{ uid: number; gid: number }> {
    const { directory } = await world.next();
    const [, , uid, gid] =
      (await readFile(join(directory, "usr/etc/passwd"), "utf8"))
        .split("\n")
        .find((line) => line.startsWith(`${name}:`))
        ?.split(":") ?? [];
    const [, , group] =
      (await readFile(join(directory, "usr/etc/group"), "utf8"))
        .split("\n")
        .find((line) => line.startsWith(`${name}:`))
        ?.split(":") ?? [];
    expect(group).toBe(gid);
    const numbers = { uid: Number(uid), gid: Number(gid) };
    const program = await stat(join(directory, "usr/bin", name));
    expect({ uid: program.uid, gid: program.gid, mode: program.mode & 0o7777 }).toEqual({ ...numbers, mode: 0o4755 });
    const file = join(directory, "usr/share", name, "file");
    expect(await stat(file)).toMatchObject({ uid: 0, gid: numbers.gid });
    expect((await exec("getfattr", ["-n", "security.capability", "-e", "hex", "--absolute-names", file])).stdout).toContain(CAPABILITY);
    return numbers;
  }

  test("has its number for good: whatever is installed beside it, before it or after it was gone", async () => {
    await world.ok("install", "second");
    const second = await numbersOf("second");
    await world.ok("cleanup", "--pending");
    await world.ok("install", "first");
    const first = await numbersOf("first");
    expect(first).not.toEqual(second);
    await world.ok("cleanup", "--pending");
    await world.ok("install", "first", "second");
    expect({ first: await numbersOf("first"), second: await numbersOf("second") }).toEqual({ first, second });
    await world.reboot();
    expect(await sh("stat -c '%U:%G %a' /var/lib/first /var/lib/second/data")).toBe("first:first 2750\nsecond:second 644\n");
    expect(await sh("id -u first; id -u second")).toBe(`${first.uid}\n${second.uid}\n`);
    // What a service removed from its own data does not come back.
    await sh("rm /var/lib/first/data; touch /var/lib/first/other");
    await world.reboot();
    expect(await sh("ls /var/lib/first /var/lib/second")).toBe("/var/lib/first:\nother\n\n/var/lib/second:\ndata\n");
    await world.expectSound();
  });

  test("does not get the number of an account of the host, which stays on the host with its password", async () => {
    const before = await readFile(join(etc, "passwd"), "utf8");
    const shadow = await readFile(join(etc, "shadow"), "utf8");
    // The next number that adduser(8) gives in the tree, as the tree knows nothing of local accounts.
    await writeFile(join(etc, "passwd"), `${before}${CANARY}:x:102:102:${CANARY}:/home/${CANARY}:/bin/sh\n`);
    await writeFile(join(etc, "shadow"), `${shadow}${CANARY}:$y$${CANARY}:20000::::::\n`);
    await world.offer(service("third"), service("fourth"), service("fifth"));
    await world.ok("install", "third", "fourth", "fifth");
    const numbers = await Promise.all(["third", "fourth", "fifth"].map(numbersOf));
    expect(new Set([...numbers.map(({ uid }) => uid), 102]).size).toBe(4);
    const { directory, commit } = await world.next();
    const found = await exec(
      "grep",
      ["-rl", CANARY, join(directory, "usr/etc"), join(directory, "usr/lib/sysusers.d"), join(directory, "usr/share/factory")],
      {
        okStatuses: [1],
      },
    );
    expect(found.stdout).toBe("");
    expect((await world.host.exec("ostree", ["show", "--repo=/sysroot/ostree/repo", commit])).stdout).not.toContain(CANARY);
    await world.reboot();
    expect(
      await sh(`id -u ${CANARY}; stat -c %U /usr/bin/third /usr/bin/fourth /usr/bin/fifth /var/lib/third/data; grep -c ${CANARY} /etc/shadow`),
    ).toBe("102\nthird\nfourth\nfifth\nthird\n1\n");
    await writeFile(join(await world.host.bootedDeployment(), "etc/passwd"), before);
    await writeFile(join(await world.host.bootedDeployment(), "etc/shadow"), shadow);
    await world.offer(service("first"), service("second"));
  });

  test("can log in as on any Debian where only a password was changed on the host: each of its files has it", async () => {
    const shadow = join(etc, "shadow");
    await writeFile(shadow, (await readFile(shadow, "utf8")).replace(/^root:[^:]*/m, "root:$y$changed"));
    await world.offer(service("sixth"));
    await world.ok("install", "sixth");
    await world.reboot();
    expect(await sh("for file in passwd shadow group gshadow; do getent $file sixth | cut -d: -f1; done; getent shadow root | cut -d: -f2")).toBe(
      "sixth\nsixth\nsixth\nsixth\n$y$changed\n",
    );
  });

  test("may be made a member of a group, also where the host's /etc/group was edited", async () => {
    await world.offer({
      name: "joins",
      version: "1",
      files: { "/usr/share/joins": "j" },
      scripts: { postinst: "addgroup --system --quiet certs; adduser --quiet www-data certs" },
    });
    await writeFile(join(etc, "group"), `${await readFile(join(etc, "group"), "utf8")}local-group:x:1500:\n`);
    await world.ok("install", "joins");
    await world.reboot();
    expect(await sh("id -nG www-data; getent group local-group")).toBe("www-data certs\nlocal-group:x:1500:\n");
  });
});
