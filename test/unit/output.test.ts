import { describe, expect, it } from "vitest";
import { parseAptError, parseInstallSummary, parsePrintUris } from "../../src/engines/apt/output.ts";

const PLANNED = `Reading package lists...
Building dependency tree...
The following additional packages will be installed:
  libgpm2 libsodium23 nginx-common vim-common vim-runtime xxd
Suggested packages:
  gpm fcgiwrap nginx-doc ssl-cert ctags vim-doc vim-scripts
The following NEW packages will be installed:
  libgpm2 libsodium23 nginx nginx-common vim vim-common
  vim-runtime xxd
0 upgraded, 8 newly installed, 0 to remove and 0 not upgraded.
Need to get 10.2 MB of archives.
After this operation, 47.8 MB of additional disk space will be used.
'http://mirror.example/debian/pool/main/v/vim/vim-common_9.1.1230-2%2bdeb13u2_all.deb' vim-common_2%3a9.1.1230-2+deb13u2_all.deb 421100 SHA256:222F1F296CB91A67323FDCA0E37C4F34A7BE78D14DE043F15B2F76ACDD8750A9
'file:/run/repo/pool/main/tiny_11.0-1_all.deb' tiny_1%3a1.0-1_all.deb 20672 SHA256:7d7f2d36547c2bb4783e1670d7254af52f672700165f50525cd777a1d1aa1508
`;

describe("the archives of --print-uris", () => {
  it("keep their addresses as they are, apt's file names, and the digest in lower case", () => {
    expect(parsePrintUris(PLANNED)).toEqual([
      {
        uri: "http://mirror.example/debian/pool/main/v/vim/vim-common_9.1.1230-2%2bdeb13u2_all.deb",
        fileName: "vim-common_2%3a9.1.1230-2+deb13u2_all.deb",
        sizeBytes: 421100,
        hash: "SHA256:222f1f296cb91a67323fdca0e37c4f34a7be78d14de043f15b2f76acdd8750a9",
      },
      {
        uri: "file:/run/repo/pool/main/tiny_11.0-1_all.deb",
        fileName: "tiny_1%3a1.0-1_all.deb",
        sizeBytes: 20672,
        hash: "SHA256:7d7f2d36547c2bb4783e1670d7254af52f672700165f50525cd777a1d1aa1508",
      },
    ]);
  });

  it("have no hash where apt knows none of the kind that was asked for", () => {
    expect(parsePrintUris("'http://mirror.example/a.deb' a_1_all.deb 12 \n")[0]?.hash).toBe("");
    expect(parsePrintUris("'http://mirror.example/a.deb' a_1_all.deb 12\n")[0]?.hash).toBe("");
  });

  it("are none where there is nothing to download, and an error where a line makes no sense", () => {
    expect(parsePrintUris("Reading package lists...\n")).toEqual([]);
    expect(() => parsePrintUris("'http://mirror.example/a.deb' a_1_all.deb\n")).toThrow("cannot read what apt-get --print-uris printed");
  });
});

describe("the summary of what apt-get would do", () => {
  it("names what is new over wrapped lines, without suggestions", () => {
    expect(parseInstallSummary(PLANNED)).toEqual({
      new: ["libgpm2", "libsodium23", "nginx", "nginx-common", "vim", "vim-common", "vim-runtime", "xxd"],
      upgraded: [],
      downgraded: [],
      removed: [],
      kept: [],
      heldChanged: [],
    });
  });

  it("names removals, purges, upgrades, downgrades, held and kept packages", () => {
    const summary = parseInstallSummary(`The following packages will be REMOVED:
  libnode115* node-acorn:i386 node-corepack*
The following held packages will be changed:
  nodejs
The following packages have been kept back:
  bash
The following NEW packages will be installed:
  tiny
The following packages will be upgraded:
  nodejs
The following packages will be DOWNGRADED:
  dash (0.5.12-12 => 0.5.11-1)
1 upgraded, 1 newly installed, 1 downgraded, 3 to remove and 1 not upgraded.
`);
    expect(summary).toEqual({
      new: ["tiny"],
      upgraded: ["nodejs"],
      downgraded: ["dash"],
      removed: ["libnode115", "node-acorn:i386", "node-corepack"],
      kept: ["bash"],
      heldChanged: ["nodejs"],
    });
  });

  it("does not take the warning about essential packages for a list of its own", () => {
    const text = `The following packages will be REMOVED:
  bash
WARNING: The following essential packages will be removed.
This should NOT be done unless you know exactly what you are doing!
  bash
0 upgraded, 0 newly installed, 1 to remove and 1 not upgraded.
`;
    expect(parseInstallSummary(text).removed).toEqual(["bash"]);
  });
});

const SORRY = `Some packages could not be installed. This may mean that you have
requested an impossible situation or if you are using the unstable
distribution that some required packages have not yet been created
or been moved out of Incoming.
The following information may help to resolve the situation:
`;

describe("apt's error", () => {
  it("lists every package that it does not know", () => {
    const error = parseAptError("Reading package lists...\nE: Unable to locate package nginxx\nE: Unable to locate package foo-bar-baz\n");
    expect(error.code).toBe("UnknownPackage");
    expect(error.details.packages).toEqual(["nginxx", "foo-bar-baz"]);
    expect(error.message).toBe("cannot find the packages: unable to locate package nginxx; unable to locate package foo-bar-baz");
  });

  it("lists packages without a candidate, and versions and releases that are not there", () => {
    const error = parseAptError(
      `Package vim is a virtual package provided by:
  vim-nox 2:9.1.1230-2+deb13u2 (= 2:9.1.1230-2+deb13u2)

E: Version '1.0' for 'vim' was not found
E: Release 'sid' for 'nginx' was not found
E: Package 'mail-transport-agent' has no installation candidate
`,
      "install vim=1.0 nginx/sid mail-transport-agent",
    );
    expect(error.code).toBe("UnknownPackage");
    expect(error.details.packages).toEqual(["vim", "nginx", "mail-transport-agent"]);
    expect(error.message).toBe(
      "cannot install vim=1.0 nginx/sid mail-transport-agent: version '1.0' for 'vim' was not found; release 'sid' for 'nginx' was not found; package 'mail-transport-agent' has no installation candidate",
    );
  });

  it("lists a pattern that matches nothing once", () => {
    const error = parseAptError(`E: Unable to locate package nginx-zz.*
E: Couldn't find any package by glob 'nginx-zz.*'
E: Couldn't find any package by regex 'nginx-zz.*'
`);
    expect(error.details.packages).toEqual(["nginx-zz.*"]);
  });

  it("passes on the unmet dependencies of apt 2.6", () => {
    const error = parseAptError(`${SORRY}
The following packages have unmet dependencies:
 needs-missing : Depends: does-not-exist (>= 2) but it is not installable
E: Unable to correct problems, you have held broken packages.
`);
    expect(error.code).toBe("Unsatisfiable");
    expect(error.message).toBe("cannot satisfy the request: needs-missing: Depends: does-not-exist (>= 2) but it is not installable");
    expect(error.details).toMatchObject({ explanation: [] });
  });

  it("passes on the unmet dependencies of apt 3.0 and its solver's explanation", () => {
    const error = parseAptError(`${SORRY}
The following packages have unmet dependencies:
 fights-tiny : Conflicts: tiny but 1:1.0-1 is to be installed
E: Unable to satisfy dependencies. Reached two conflicting decisions:
   1. fights-tiny:amd64=1.0 is selected for install
   2. fights-tiny:amd64 is not selected for install because:
      1. tiny:amd64=1:1.0-1 is selected for install
      2. fights-tiny:amd64 Conflicts tiny
`);
    expect(error.code).toBe("Unsatisfiable");
    expect(error.details.reasons).toEqual(["fights-tiny: Conflicts: tiny but 1:1.0-1 is to be installed"]);
    expect(error.details.explanation).toEqual([
      "Unable to satisfy dependencies. Reached two conflicting decisions:",
      "1. fights-tiny:amd64=1.0 is selected for install",
      "2. fights-tiny:amd64 is not selected for install because:",
      "1. tiny:amd64=1:1.0-1 is selected for install",
      "2. fights-tiny:amd64 Conflicts tiny",
    ]);
  });

  it("uses the explanation of the new solver as the reason where there is no other", () => {
    const error = parseAptError(`E: Error, pkgProblemResolver::Resolve generated breaks, this may be caused by held packages.
E: The following information from --solver 3.0 may provide additional context:
   Unable to satisfy dependencies. Reached two conflicting decisions:
   1. needs-missing:amd64=1.0 is selected for install
   2. needs-missing:amd64 Depends does-not-exist (>= 2)
      but none of the choices are installable:
      [no choices]
`);
    expect(error.code).toBe("Unsatisfiable");
    expect(error.message).toContain("2. needs-missing:amd64 Depends does-not-exist (>= 2); but none of the choices are installable:");
  });

  it("joins alternatives that apt wraps, and leaves recommendations out", () => {
    const error = parseAptError(`
The following packages have unmet dependencies:
 initscripts : Depends: sysv-rc but it is not going to be installed or
                        file-rc but it is not installable
 systemd-sysv : Conflicts: initscripts but 3.14-4 is to be installed
                Conflicts: sysvinit-core but 3.14-4 is to be installed
                Recommends: libnss-systemd but it is not going to be installed
 util-linux : PreDepends: libpam-modules but it is not going to be installed
E: Error, pkgProblemResolver::Resolve generated breaks, this may be caused by held packages.
`);
    expect(error.details.reasons).toEqual([
      "initscripts: Depends: sysv-rc but it is not going to be installed or file-rc but it is not installable",
      "systemd-sysv: Conflicts: initscripts but 3.14-4 is to be installed",
      "systemd-sysv: Conflicts: sysvinit-core but 3.14-4 is to be installed",
      "util-linux: PreDepends: libpam-modules but it is not going to be installed",
    ]);
  });

  it.each([
    "E: The repository 'file:/run/repo test Release' is not signed.\n",
    "W: OpenPGP signature verification failed: http://mirror.example/debian trixie InRelease: Sub-process /usr/bin/sqv returned an error code (1), error message is: Missing key 4CB50190207B4758A3F73A796ED0E7B82643E131, which is needed to verify signature.\nE: The repository 'http://mirror.example/debian trixie InRelease' is not signed.\n",
    "W: GPG error: http://mirror.example/debian bookworm InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 6ED0E7B82643E131\nE: Some index files failed to download.\n",
    "E: Failed to fetch http://mirror.example/debian/dists/trixie/main/binary-amd64/Packages.xz  Hash Sum mismatch\n",
    "E: Splitting of clearsigned file /var/lib/apt/lists/partial/mirror.example_dists_test_Release failed as it doesn't contain all expected parts\n",
    "E: Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)\n",
    "E: Release file for http://mirror.example/debian/dists/trixie/InRelease is expired (invalid since 3d 2h 1min 5s). Updates for this repository will not be applied.\n",
  ])("is VerificationFailed for %j", (text) => {
    const error = parseAptError(text);
    expect(error.code).toBe("VerificationFailed");
    expect(error.message).toMatch(/^cannot trust the sources: /);
  });

  it("is DownloadFailed where the network failed, with the password of the address taken out", () => {
    const error = parseAptError(
      `E: Failed to fetch http://me:secret@mirror.example/repo/dists/test/InRelease  Could not connect to mirror.example:80 (192.0.2.1). - connect (111: Connection refused)
E: Some index files failed to download. They have been ignored, or old ones used instead.
`,
      "refresh the package lists",
    );
    expect(error.code).toBe("DownloadFailed");
    expect(error.message).toContain("cannot refresh the package lists: Failed to fetch http://mirror.example/repo/dists/test/InRelease");
    expect(JSON.stringify(error.toValue())).not.toContain("secret");
  });

  it("is NoSpace where a disk is full", () => {
    const error = parseAptError("E: Write error - write (28: No space left on device)\nE: IO Error saving source cache\n");
    expect(error.code).toBe("NoSpace");
    expect(error.message).toContain("No space left on device");
  });

  it("is ScriptFailed where dpkg gave up, and names the package", () => {
    const error = parseAptError(
      `Setting up tiny (1:1.0-1) ...
dpkg: error processing package tiny (--configure):
 installed tiny package post-installation script subprocess returned error exit status 3
Errors were encountered while processing:
 tiny
E: Sub-process /usr/bin/dpkg returned an error code (1)
`,
      "install tiny",
    );
    expect(error.code).toBe("ScriptFailed");
    expect(error.details.packages).toEqual(["tiny"]);
    expect(error.message).toBe("cannot install tiny: tiny: installed tiny package post-installation script subprocess returned error exit status 3");
  });

  it("is ProtectedPackage where essential packages would go", () => {
    const error = parseAptError(`The following packages will be REMOVED:
  bash
WARNING: The following essential packages will be removed.
This should NOT be done unless you know exactly what you are doing!
  bash
0 upgraded, 0 newly installed, 1 to remove and 1 not upgraded.
E: Essential packages were removed and -y was used without --allow-remove-essential.
`);
    expect(error.code).toBe("ProtectedPackage");
    expect(error.details.packages).toEqual(["bash"]);
  });

  it("is Unsatisfiable where apt would have to ask", () => {
    expect(parseAptError("E: Packages were downgraded and -y was used without --allow-downgrades.\n").code).toBe("Unsatisfiable");
  });

  it("is ConfigInvalid where the sources cannot be read", () => {
    const error = parseAptError("E: Malformed entry 1 in list file /etc/apt/sources.list (Suite)\nE: The list of sources could not be read.\n");
    expect(error.code).toBe("ConfigInvalid");
    expect(error.message).toContain("/etc/apt/sources.list");
  });

  it("is Internal with apt's own words where nothing else fits", () => {
    expect(parseAptError("E: Command line option --root=/x is not understood\n").toValue()).toMatchObject({
      code: "Internal",
      message: "cannot run apt: Command line option --root=/x is not understood",
    });
    expect(parseAptError("").message).toBe("cannot run apt: it gave no reason");
  });
});
