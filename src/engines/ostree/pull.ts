/** Pulling bases from remotes. */
import type { StageIo } from "../../scheduler/ports.ts";
import type { EngineContext } from "../context.ts";
import { ostreePull, ostreeRepo } from "./ostree.ts";
import { dropRef, holdBase } from "./refs.ts";
import { findRevision } from "./revision.ts";

/**
 * Pulls what a refspec stands for at its remote; a local ref is where its publisher put it. Of a revision the history is looked at,
 * commits without their files, and then only that commit is pulled and held by a ref: the commit, else null. Throws NotFound for a
 * revision that is not there, and what pulling throws.
 */
export async function pullBase(context: EngineContext, refspec: string, revision: string | undefined, io: StageIo): Promise<string | null> {
  const [remote, ref] = refspec.includes(":") ? refspec.split(":", 2) : [undefined, refspec];
  if (remote === undefined || ref === undefined) return null;
  const { paths, commits } = context;
  io.progress(0, `pulling ${refspec}`);
  const options = {
    signal: io.signal,
    awaited: io.awaited,
    onLine: (line: string) => {
      const percent = /(\d+)%/.exec(line)?.[1];
      if (percent !== undefined) io.progress((0.2 * Number(percent)) / 100, `pulling ${refspec}`);
    },
  };
  if (revision === undefined) {
    await ostreePull(paths, remote, [ref], options);
    return null;
  }
  const before = await commits.resolve(refspec);
  try {
    await ostreePull(paths, remote, ["--commit-metadata-only", "--depth=-1", ref], options);
    const commit = await findRevision(paths, refspec, revision);
    await ostreePull(paths, remote, [commit], options);
    await holdBase(paths, commit);
    return commit;
  } finally {
    // Whoever follows the ref finds under it what is there with all its files.
    if (before === null) await dropRef(paths, refspec);
    else await ostreeRepo(paths, `keep ref ${refspec}`, ["refs", "--force", "--create", refspec, before]);
  }
}
