/** apt and dpkg on a booted host: what would change the deployment is refused with the command to use instead, what reads works. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { APT_REFUSALS, refusalMessage } from "../../src/model/dpkgguard.ts";
import { makeDeb } from "../harness/debs.ts";
import { World } from "../harness/world.ts";

const ANY = Array.from({ length: 256 }, (_, status) => status);

describe("on a booted host", () => {
  let world: World;
  const said = async (command: string, ...args: string[]): Promise<{ status: number; text: string }> => {
    const { status, stdout, stderr } = await world.host.exec(command, args, { okStatuses: ANY });
    return { status, text: `${stdout}${stderr}` };
  };
  beforeAll(async () => {
    world = await World.make("e2e-guard");
    await world.offer({ name: "hello-there", version: "1", files: { "/usr/share/hello-there": "h" } });
  });
  afterAll(() => world?.close());

  test("every verb of apt that changes something is refused with what to use instead", async () => {
    for (const refusal of APT_REFUSALS) {
      for (const verb of refusal.verbs) {
        for (const apt of ["apt", "apt-get"]) {
          expect(await said(apt, "-y", verb, "hello-there"), `${apt} ${verb}`).toEqual({
            status: 1,
            text: `${apt}: ${refusalMessage(refusal, "hello-there")}\n`,
          });
        }
      }
    }
    expect((await said("apt", "install", "nginx", "vim=2:9")).text).toBe(
      "apt: cannot install nginx vim=2:9: this system is an OSTree deployment: use `apt-ostree install nginx vim=2:9`\n",
    );
    expect((await said("apt-get", "-o", "Debug::NoLocking=1", "dist-upgrade")).text).toMatch(/use `apt-ostree upgrade`\n$/);
  });

  test("dpkg is refused likewise, and so is an apt that was called by its path", async () => {
    await makeDeb(join(world.host.layout.directory, "repos"), { name: "loose", version: "1" });
    const inside = "/run/sandbox/repos/loose_1_all.deb";
    expect(await said("dpkg", "--install", inside)).toMatchObject({
      status: 2,
      text: expect.stringContaining(`dpkg: cannot install ${inside}: this system is an OSTree deployment: use \`apt-ostree install ${inside}\`\n`),
    });
    for (const [args, remedy] of [
      [["--remove", "bash"], "use `apt-ostree uninstall bash`"],
      [["--purge", "bash"], "use `apt-ostree uninstall bash`"],
      [["--configure", "-a"], "packages are configured when the tree is made"],
      [["--add-architecture", "i386"], "`apt-ostree install NAME:ARCH` adds one"],
    ] as const) {
      const { status, text } = await said("dpkg", ...args);
      expect(status, text).toBe(2);
      expect(text).toContain(`this system is an OSTree deployment: ${remedy}\n`);
    }
    const { status, text } = await said("/usr/bin/apt-get", "install", "-y", inside);
    expect(status, text).toBe(100);
    expect(text).toMatch(/dpkg: cannot install .*this system is an OSTree deployment/);
    expect((await said("dpkg", "-s", "loose")).status).toBe(1);
  });

  test("what reads works", async () => {
    for (const [command, ...args] of [
      ["apt", "update"],
      ["apt", "list", "bash"],
      ["apt", "show", "hello-there"],
      ["apt", "search", "hello-there"],
      ["apt-cache", "policy", "hello-there"],
      ["apt-get", "-s", "install", "hello-there"],
      ["apt-get", "install", "--print-uris", "hello-there"],
      ["apt-get", "--version"],
      ["dpkg", "-l", "bash"],
      ["dpkg", "-L", "bash"],
      ["dpkg", "-S", "/usr/bin/bash"],
      ["dpkg", "--audit"],
      ["dpkg", "--print-architecture"],
      ["sh", "-c", "cd /tmp && apt-get download hello-there && dpkg -I hello-there_1_all.deb"],
    ] as [string, ...string[]][]) {
      const { status, text } = await said(command, ...args);
      expect(status, `${command} ${args.join(" ")}\n${text}`).toBe(0);
      expect(text).not.toContain("OSTree deployment");
    }
  });

  test("the daemon's own apt and dpkg are not concerned", async () => {
    await world.ok("install", "hello-there");
    await world.expectSound();
  });
});
