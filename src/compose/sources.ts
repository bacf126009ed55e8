/** Which sources a tree comes from, and the state that they are in now. */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseAptError } from "../engines/apt/output.ts";
import { ExecError, exec } from "../engines/exec.ts";
import { withoutCredentials } from "../model/credentials.ts";
import { AptOstreeError } from "../model/errors.ts";
import type { SourceStanza, Treefile } from "../model/treefile.ts";
import { sha256 } from "./inputs.ts";
import { machineSources, proxyEnvironment } from "./machine.ts";

/** One release of a source, as it is now. */
export interface Release {
  readonly uri: string;
  readonly suite: string;
  /** SHA-256 of its InRelease (or Release) file, which names the hashes of everything below it. */
  readonly digest: string;
  /** The release's own date, in seconds. */
  readonly dateS: number;
}

/** The sources of a compose, each with one address. */
export interface Sources {
  readonly stanzas: readonly SourceStanza[];
  readonly releases: readonly Release[];
}

/** An address to try, and the release to look for there. */
interface Candidate {
  readonly uri: string;
  readonly suite: string;
  /** It has to be Debian's own, because nobody named it for this compose. */
  readonly mustBeDebian: boolean;
}

/**
 * Finds the sources of a treefile: those it names; else the given mirrors; else those of this machine's apt. Of the latter two, the
 * ones count that carry the suite, its updates or its security release. Throws DownloadFailed where the suite is nowhere, or where
 * an address does not answer: a tree must not lack a source for a moment's failure.
 */
export async function findSources(
  treefile: Pick<Treefile, "suite" | "components" | "sources">,
  mirrors: readonly string[],
  workDir: string,
  signal?: AbortSignal,
): Promise<Sources> {
  if (treefile.sources !== "machine" && mirrors.length === 0) {
    const stanzas = treefile.sources;
    const wanted = stanzas.flatMap(({ uri, suites }) => suites.map((suite) => ({ uri, suite, mustBeDebian: false })));
    const found = await probeAll(wanted, workDir, signal);
    const missing = wanted.find((_, index) => found[index] === null);
    if (missing !== undefined) throw notFound(missing.suite, [missing.uri]);
    return { stanzas, releases: found.filter((release) => release !== null) };
  }
  const candidates = mirrors.length > 0 ? mirrorCandidates(treefile.suite, mirrors) : await machineCandidates(treefile.suite);
  const releases = (await probeAll(candidates, workDir, signal)).filter((release) => release !== null);
  if (!releases.some((release) => release.suite === treefile.suite))
    throw notFound(treefile.suite, [...new Set(candidates.map((candidate) => candidate.uri))]);
  const uris = [...new Set(releases.map((release) => release.uri))];
  const stanzas = uris.map((uri) => ({
    uri,
    suites: releases.filter((release) => release.uri === uri).map((release) => release.suite),
    components: treefile.components,
    signedBy: "",
  }));
  return { stanzas, releases };
}

function mirrorCandidates(suite: string, mirrors: readonly string[]): Candidate[] {
  const bad = mirrors.find((mirror) => !/^(https?|file|copy):\/[^\s[\]]+$/.test(mirror));
  if (bad !== undefined)
    throw new AptOstreeError("InvalidRequest", `cannot use ${JSON.stringify(bad)} as a mirror: it is not an http, https, file or copy address`);
  return mirrors.flatMap((uri) => [suite, `${suite}-updates`, `${suite}-security`].map((name) => ({ uri, suite: name, mustBeDebian: false })));
}

/** The machine has updates or security of some release: then the tree gets those of its own. */
async function machineCandidates(suite: string): Promise<Candidate[]> {
  const sources = await machineSources();
  const kindOf = (release: string): string => /-(updates|security|backports|backports-sloppy|proposed-updates)$/.exec(release)?.[0] ?? "";
  const candidates = ["", "-updates", "-security"].flatMap((kind) =>
    [...new Set(sources.filter((source) => kindOf(source.release) === kind).map((source) => source.uri))].map((uri) => ({
      uri,
      suite: `${suite}${kind}`,
      mustBeDebian: true,
    })),
  );
  if (candidates.length === 0)
    throw new AptOstreeError(
      "ConfigInvalid",
      "cannot find a mirror: this machine's apt has no source with Debian's component main; name one with --mirror",
    );
  return candidates;
}

function notFound(suite: string, uris: readonly string[]): AptOstreeError {
  return new AptOstreeError("DownloadFailed", `cannot find the suite ${suite}: none of the sources has it (${withoutCredentials(uris.join(", "))})`, {
    details: { suite },
  });
}

async function probeAll(candidates: readonly Candidate[], workDir: string, signal: AbortSignal | undefined): Promise<(Release | null)[]> {
  return await Promise.all(candidates.map((candidate, index) => probe(candidate, join(workDir, `release-${index}`), signal)));
}

/** Fetches a release file by apt's own means; null where there is none. apt verifies signatures later, when it uses the source. */
async function probe(candidate: Candidate, file: string, signal: AbortSignal | undefined): Promise<Release | null> {
  for (const name of ["InRelease", "Release"]) {
    const uri = `${candidate.uri.replace(/\/$/, "")}/dists/${candidate.suite}/${name}`;
    if (!(await download(uri, file, signal))) continue;
    const content = await readFile(file);
    await rm(file);
    const text = content.toString("utf8");
    if (candidate.mustBeDebian && !/^Origin: *Debian *$/m.test(text)) return null;
    const date = Date.parse(/^Date: *(.+)$/m.exec(text)?.[1] ?? "");
    if (Number.isNaN(date)) throw new AptOstreeError("VerificationFailed", `cannot use ${withoutCredentials(uri)}: it has no date`);
    return { uri: candidate.uri, suite: candidate.suite, digest: sha256(content), dateS: Math.floor(date / 1000) };
  }
  return null;
}

const ABSENT = /\b(404|410)\b|File not found/;
const HELPER = "/usr/lib/apt/apt-helper";

/** Whether a file could be had; false only where its server says that there is none. */
async function download(uri: string, file: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await exec(HELPER, ["-o", "APT::Sandbox::User=root", "download-file", uri, file], {
      env: proxyEnvironment(),
      timeoutMs: 120_000,
      ...(signal === undefined ? {} : { signal }),
    });
    return true;
  } catch (error) {
    if (!(error instanceof ExecError)) throw error;
    const output = `${error.stdout}\n${error.stderr}`;
    if (ABSENT.test(output.replaceAll(uri, ""))) return false;
    throw parseAptError(output, `read ${withoutCredentials(uri)}`);
  }
}
