/**
 * Tiny Debian packages and apt repositories for tests, made with dpkg-deb(1) alone. The repositories are plain directories:
 * serve them with `startMirror`, or use them through a `file:` address.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What a package is made of; everything but name and version may be left out. */
export interface DebOptions {
  readonly name: string;
  readonly version: string;
  /** "all" where it is absent. */
  readonly architecture?: string;
  /** In the control file's words, as are the next ones: "libc6 (>= 2.36), other". */
  readonly depends?: string;
  readonly preDepends?: string;
  readonly recommends?: string;
  readonly conflicts?: string;
  readonly breaks?: string;
  readonly replaces?: string;
  readonly provides?: string;
  readonly multiArch?: string;
  /** Further fields of the control file: `{ Essential: "yes" }`. */
  readonly fields?: Readonly<Record<string, string>>;
  /** Absolute paths and their contents; mode 0755 under a directory named bin or sbin, 0644 elsewhere. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** Shell text; "#!/bin/sh" and "set -e" are put in front where there is no "#!". */
  readonly scripts?: Readonly<Partial<Record<"preinst" | "postinst" | "prerm" | "postrm" | "config", string>>>;
  /** The questions that the package asks, in the words of debconf-devel(7). */
  readonly templates?: string;
  /** Absolute paths among `files`. */
  readonly conffiles?: readonly string[];
}

/** An apt repository on disk. */
export interface Repository {
  readonly directory: string;
  /** The source as a deb822 stanza (sources.list(5)) for a `file:` address. */
  readonly source: string;
  /** The same for the address that a server gives the directory: "http://127.0.0.1:8080". */
  sourceFor(uri: string): string;
}

/** Builds a package into a directory under the name that apt gives it; returns the path of the .deb. */
export async function makeDeb(directory: string, options: DebOptions): Promise<string> {
  await mkdir(directory, { recursive: true });
  const tree = await mkdtemp(join(directory, ".deb-"));
  try {
    await chmod(tree, 0o755);
    await mkdir(join(tree, "DEBIAN"));
    await writeFile(join(tree, "DEBIAN", "control"), controlFile(options));
    if (options.conffiles !== undefined) await writeFile(join(tree, "DEBIAN", "conffiles"), `${options.conffiles.join("\n")}\n`);
    if (options.templates !== undefined) await writeFile(join(tree, "DEBIAN", "templates"), options.templates);
    for (const [name, text] of Object.entries(options.scripts ?? {})) {
      await writeFile(join(tree, "DEBIAN", name), text.startsWith("#!") ? text : `#!/bin/sh\nset -e\n${text}\n`);
      await chmod(join(tree, "DEBIAN", name), 0o755);
    }
    for (const [path, content] of Object.entries(options.files ?? {})) {
      const target = join(tree, path);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, content);
      await chmod(target, /\/s?bin\//.test(path) ? 0o755 : 0o644);
    }
    const deb = join(directory, `${options.name}_${options.version.replaceAll(":", "%3a")}_${options.architecture ?? "all"}.deb`);
    await run("dpkg-deb", ["--root-owner-group", "-Znone", "--build", tree, deb], { env: { ...process.env, SOURCE_DATE_EPOCH } });
    return deb;
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

/**
 * The same package made again is the same to the byte: lists that are a second old may name it still, as apt(8) asks whether a list
 * is newer with a precision of one second.
 */
const SOURCE_DATE_EPOCH = "1700000000";

function controlFile(options: DebOptions): string {
  const fields: Record<string, string | undefined> = {
    Package: options.name,
    Version: options.version,
    Architecture: options.architecture ?? "all",
    Maintainer: "Test <test@example.org>",
    "Multi-Arch": options.multiArch,
    "Pre-Depends": options.preDepends,
    Depends: options.depends,
    Recommends: options.recommends,
    Conflicts: options.conflicts,
    Breaks: options.breaks,
    Replaces: options.replaces,
    Provides: options.provides,
    ...options.fields,
    Description: `test package ${options.name}`,
  };
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join("");
}

/** What the Release file of a repository says. */
export interface ReleaseOptions {
  /** "test" where it is absent. */
  readonly suite?: string;
  /** More lines: "NotAutomatic: yes". */
  readonly fields?: readonly string[];
}

/**
 * Makes `directory` a repository of exactly these packages (component "main"): pool, Packages and Release. Called again, it replaces
 * the repository. Its stanza says `Trusted: yes`, because nothing signs it: for tests only.
 */
export async function makeRepository(
  directory: string,
  debs: readonly string[],
  { suite = "test", fields = [] }: ReleaseOptions = {},
): Promise<Repository> {
  const pool = join("pool", "main");
  await rm(join(directory, "pool"), { recursive: true, force: true });
  await mkdir(join(directory, pool), { recursive: true });
  const stanzas = await Promise.all(debs.map((deb) => addToPool(directory, pool, deb)));
  const architectures = [...new Set([machineArchitecture(), ...stanzas.map((s) => s.architecture)])].filter((a) => a !== "all");

  const lines: string[] = [];
  for (const architecture of architectures) {
    const path = join("main", `binary-${architecture}`, "Packages");
    const text = stanzas
      .filter((s) => s.architecture === architecture || s.architecture === "all")
      .map((s) => s.text)
      .join("\n");
    await mkdir(dirname(join(directory, "dists", suite, path)), { recursive: true });
    await writeFile(join(directory, "dists", suite, path), text);
    lines.push(` ${sha256(Buffer.from(text))} ${Buffer.byteLength(text)} ${path}`);
  }
  const release = [
    "Origin: Test",
    "Label: Test",
    `Suite: ${suite}`,
    `Codename: ${suite}`,
    ...fields,
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    `Architectures: ${architectures.join(" ")}`,
    "Components: main",
    "SHA256:",
    ...lines,
  ];
  await writeFile(join(directory, "dists", suite, "Release"), `${release.join("\n")}\n`);
  const sourceFor = (uri: string): string => `Types: deb\nURIs: ${uri}\nSuites: ${suite}\nComponents: main\nTrusted: yes\n`;
  return { directory, source: sourceFor(`file:${directory}`), sourceFor };
}

async function addToPool(directory: string, pool: string, deb: string): Promise<{ architecture: string; text: string }> {
  const { stdout: control } = await run("dpkg-deb", ["-f", deb]);
  const content = await readFile(deb);
  const path = join(pool, basename(deb).replaceAll("%3a", ""));
  await copyFile(deb, join(directory, path));
  const architecture = /^Architecture: *(\S+)/m.exec(control)?.[1] ?? "all";
  return { architecture, text: `${control.trimEnd()}\nFilename: ${path}\nSize: ${content.length}\nSHA256: ${sha256(content)}\n` };
}

function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Debian's name for the architecture we run on. */
export function machineArchitecture(): string {
  const names: Partial<Record<NodeJS.Architecture, string>> = { x64: "amd64", ia32: "i386", arm: "armhf", ppc64: "ppc64el", riscv64: "riscv64" };
  return names[process.arch] ?? process.arch;
}
