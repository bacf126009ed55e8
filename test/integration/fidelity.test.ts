/** Whether `npm run fidelity` sees what it is for: two trees on disk, and each kind of difference between them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exec } from "../../src/engines/exec.ts";
import { compareTrees, type ListedTree } from "../fidelity/compare.ts";
import { listTree } from "../fidelity/entries.ts";

/** A tree with one path of each kind; accounts have the numbers that are given. */
const MAKE = `set -e; cd "$1"; uid=$2; umask 022
mkdir -p etc usr/bin usr/lib usr/share var/lib run
printf 'root:x:0:0::/root:/bin/sh\\ntool:x:%s:%s::/:/bin/false\\n' $uid $uid >etc/passwd
printf 'root:x:0:\\ntool:x:%s:\\n' $uid >etc/group
for name in same mode owner content capability; do echo $name >usr/bin/$name; done
ln -s same usr/bin/link; mkdir usr/share/directory; echo $$ >run/pid
chown $uid:$uid usr/bin/same`;

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "fidelity-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function made(name: string, uid: number, change = ""): Promise<ListedTree> {
  const tree = join(directory, name);
  await exec("mkdir", [tree]);
  await exec("sh", ["-c", `${MAKE}\n${change}`, "make", tree, String(uid)]);
  return { directory: tree, entries: await listTree(tree) };
}

test("trees that differ in nothing but the numbers of accounts and in /run are the same", async () => {
  expect(compareTrees(await made("one", 101), await made("other", 202))).toEqual([]);
});

test("every kind of difference is seen, at its path, and nothing else", async () => {
  const plain = await made("plain", 101, "echo only >usr/bin/missing");
  const layered = await made(
    "layered",
    101,
    `chmod 700 usr/bin/mode; chown 7 usr/bin/owner; echo CONTENT >usr/bin/content; ln -sf other usr/bin/link
     setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 usr/bin/capability
     rmdir usr/share/directory; echo file >usr/share/directory; echo extra >usr/bin/extra
     sed -i s:/bin/false:/bin/sh: etc/passwd; mkdir -p usr/lib/sysimage/var/lib/state; echo state >usr/lib/sysimage/var/lib/state/file
     ln -s ../../usr/lib/sysimage/var/lib/state var/lib/state`,
  );
  const found = compareTrees(plain, layered).map(({ path, kind }) => `${path} ${kind}`);
  // What a link in /var leads to counts as what it is there.
  const moved = found.filter((one) => one.startsWith("var/"));
  expect(moved).toEqual(["var/lib/state extra", "var/lib/state/file extra"]);
  expect(found.filter((one) => !moved.includes(one))).toEqual([
    "etc/passwd content",
    "usr/bin/capability xattrs",
    "usr/bin/content content",
    "usr/bin/extra extra",
    "usr/bin/link target",
    "usr/bin/missing missing",
    "usr/bin/mode mode",
    "usr/bin/owner owner",
    "usr/share/directory type",
  ]);
});
