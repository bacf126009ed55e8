/** Kernels, their initramfs and /boot: a layer ends with one kernel that boots, and the machine's boot loader is not touched. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DebOptions } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

/** dracut takes its time, and the machine may have other things to do. */
const DRACUT_TIMEOUT_MS = 300_000;

/** A kernel package as Debian's are: files in /boot and modules, links and hooks made by its postinst. */
const kernel = (version: string): DebOptions => ({
  name: `linux-image-${version}`,
  version: "1",
  files: {
    [`/boot/vmlinuz-${version}`]: `kernel ${version}`,
    [`/boot/System.map-${version}`]: "map",
    [`/boot/config-${version}`]: "CONFIG_BLK_DEV_INITRD=y",
    [`/usr/lib/modules/${version}/modules.order`]: "",
    [`/usr/lib/modules/${version}/modules.builtin`]: "",
    [`/usr/lib/modules/${version}/kernel/a.ko`]: "no module at all",
  },
  scripts: {
    postinst: `depmod ${version}; linux-update-symlinks install ${version} /boot/vmlinuz-${version}
      linux-run-hooks image postinst ${version} /boot/vmlinuz-${version} -- "$@"
      update-grub; grub-install /dev/sda; update-initramfs -u; kernel-install add ${version} /boot/vmlinuz-${version}`,
  },
});

describe("a layer with", () => {
  let world: World;
  let tree: (path: string) => string;
  beforeAll(async () => {
    world = await World.make("e2e-kernel");
    await world.offer(
      kernel("9.9.9-one"),
      kernel("9.9.9-two"),
      {
        name: "plain-kernel",
        version: "1",
        files: {
          "/usr/lib/modules/9.9.9-three/vmlinuz": "kernel 9.9.9-three",
          "/usr/lib/modules/9.9.9-three/modules.order": "",
          "/usr/lib/modules/9.9.9-three/modules.builtin": "",
        },
      },
      { name: "hook", version: "1", files: { "/usr/share/hook": "h" }, scripts: { postinst: "update-initramfs -u" } },
      { name: "trigger", version: "1", files: { "/usr/share/trigger": "t" }, scripts: { postinst: "dpkg-trigger update-initramfs" } },
      { name: "plain", version: "1", files: { "/usr/share/plain": "p" } },
      {
        // As dkms does: built for the kernel that is said to run, signed with a key that is made on the way.
        name: "modules",
        version: "1",
        files: { "/usr/share/modules": "m" },
        scripts: {
          postinst: `mkdir -p /usr/lib/modules/$(uname -r)/updates /var/lib/dkms/x; echo ko >/usr/lib/modules/$(uname -r)/updates/x.ko
            echo secret >/var/lib/dkms/mok.key; echo public >/var/lib/dkms/mok.pub; echo built >/var/lib/dkms/x/state; depmod "$(uname -r)"`,
        },
      },
      { name: "tester", version: "1", files: { "/boot/tester.bin": "tests", "/boot/sub/tester.bin": "more" } },
      {
        name: "loader",
        version: "1",
        files: { "/usr/share/loader": "l" },
        scripts: { postinst: "mkdir -p /boot/grub; echo x >/boot/grub/grub.cfg; ln -s vmlinuz-1 /boot/vmlinuz; ln -s boot/vmlinuz-1 /vmlinuz" },
      },
    );
  });
  beforeEach(async () => {
    await world.reset();
    tree = (path) => join(world.host.layout.sysroot, path);
  });
  afterAll(() => world?.close());

  const next = async (path: string): Promise<string> => join((await world.next()).directory, path);
  const baseKernel = async (): Promise<string> => {
    const [version = ""] = await readdir(join(await world.host.bootedDeployment(), "usr/lib/modules"));
    return version;
  };

  test(
    "a kernel boots that kernel and has no other, and /boot of the host changes by ostree alone",
    async () => {
      const loader = tree("boot/grub");
      await mkdir(loader, { recursive: true });
      await writeFile(join(loader, "grub.cfg"), "the machine's own");
      const base = await baseKernel();
      expect(await world.ok("install", "linux-image-9.9.9-one")).toContain(`the kernel is 9.9.9-one now, in place of the base's ${base}\n`);
      expect(await readdir(await next("usr/lib/modules"))).toEqual(["9.9.9-one"]);
      const modules = await next("usr/lib/modules/9.9.9-one");
      expect(await readFile(join(modules, "vmlinuz"), "utf8")).toBe("kernel 9.9.9-one");
      expect(await readFile(join(modules, "System.map"), "utf8")).toBe("map");
      expect(await readFile(join(modules, "config"), "utf8")).toBe("CONFIG_BLK_DEV_INITRD=y");
      expect((await readFile(join(modules, "initramfs.img"))).length).toBeGreaterThan(1_000_000);
      expect(await readdir(await next("boot"))).toEqual([]);
      expect((await readdir(await next("."))).filter((name) => /vmlinuz|initrd/.test(name))).toEqual([]);
      await world.expectSound();
      await world.host.reboot();
      expect(await readFile(join(await world.host.bootedDeployment(), "usr/lib/modules/9.9.9-one/vmlinuz"), "utf8")).toBe("kernel 9.9.9-one");
      const entries = await Promise.all(
        (await readdir(tree("boot/loader/entries"))).map((name) => readFile(join(tree("boot/loader/entries"), name), "utf8")),
      );
      expect(entries.some((entry) => /vmlinuz-9\.9\.9-one/.test(entry) && /initramfs-9\.9\.9-one/.test(entry))).toBe(true);
      expect(await readdir(loader)).toEqual(["grub.cfg"]);
      expect(await readFile(join(loader, "grub.cfg"), "utf8")).toBe("the machine's own");
      await rm(loader, { recursive: true });
    },
    DRACUT_TIMEOUT_MS,
  );

  test(
    "a kernel that is shipped with its modules boots that one and has no other",
    async () => {
      const base = await baseKernel();
      expect(await world.ok("install", "plain-kernel")).toContain(`the kernel is 9.9.9-three now, in place of the base's ${base}\n`);
      expect(await readdir(await next("usr/lib/modules"))).toEqual(["9.9.9-three"]);
      const modules = await next("usr/lib/modules/9.9.9-three");
      expect(await readFile(join(modules, "vmlinuz"), "utf8")).toBe("kernel 9.9.9-three");
      expect((await readFile(join(modules, "initramfs.img"))).length).toBeGreaterThan(1_000_000);
      await world.expectSound();
    },
    DRACUT_TIMEOUT_MS,
  );

  test("two kernels is refused by their names, wherever they are shipped", async () => {
    await world.failing(["install", "linux-image-9.9.9-one", "plain-kernel"], {
      code: "LayerInvalid",
      message: /kernels 9\.9\.9-one and 9\.9\.9-three/,
      details: { versions: ["9.9.9-one", "9.9.9-three"] },
    });
    await world.failing(["install", "linux-image-9.9.9-one", "linux-image-9.9.9-two"], {
      code: "LayerInvalid",
      message: /kernels 9\.9\.9-one and 9\.9\.9-two/,
      details: { versions: ["9.9.9-one", "9.9.9-two"] },
    });
  });

  test(
    "kernel modules has an initramfs of its own, and without them the base's",
    async () => {
      const version = await baseKernel();
      const initramfs = `usr/lib/modules/${version}/initramfs.img`;
      const ofBase = await readFile(join(await world.host.bootedDeployment(), initramfs));
      const made = async (): Promise<Buffer> => await readFile(await next(initramfs));

      expect(await world.ok("install", "plain")).not.toMatch(/initramfs/);
      expect((await made()).equals(ofBase)).toBe(true);
      await world.ok("install", "modules");
      expect(existsSync(await next(`usr/lib/modules/${version}/updates/x.ko`))).toBe(true);
      expect(await readFile(await next("usr/lib/sysimage/var/lib/dkms/x/state"), "utf8")).toBe("built\n");
      expect(await readdir(await next("usr/lib/sysimage/var/lib/dkms"))).toEqual(["x"]);
      expect(existsSync(await next("usr/share/factory/var/lib/dkms"))).toBe(false);
      const withModules = await made();
      expect(withModules.equals(ofBase)).toBe(false);
      await world.ok("uninstall", "modules");
      expect((await made()).equals(ofBase)).toBe(true);
      await world.expectSound();
    },
    DRACUT_TIMEOUT_MS,
  );

  test(
    "a package that asks for an initramfs, or triggers one, has it made once, at the end",
    async () => {
      for (const name of ["hook", "trigger"]) {
        const shown = await world.ok("install", name);
        expect(shown.match(/made the initramfs of \S+ anew/g)?.length, shown).toBe(1);
      }
    },
    DRACUT_TIMEOUT_MS,
  );

  test("files for /boot keeps those of packages elsewhere and drops a boot loader's", async () => {
    const shown = await world.ok("install", "tester");
    expect(await readFile(await next("usr/lib/ostree-boot/tester.bin"), "utf8")).toBe("tests");
    expect(await readFile(await next("usr/lib/ostree-boot/sub/tester.bin"), "utf8")).toBe("more");
    expect(await readdir(await next("boot"))).toEqual([]);
    expect(shown).toMatch(/ostree-boot instead of \/boot/);
    await world.ok("install", "loader");
    expect(await readdir(await next("boot"))).toEqual([]);
    expect(existsSync(await next("vmlinuz"))).toBe(false);
    await world.expectSound();
  });
});
