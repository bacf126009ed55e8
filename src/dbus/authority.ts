/** Who may do what: one port, so that another authority (polkit) can take the place of the rule below. */
import { AptOstreeError } from "../model/errors.ts";
import type { Caller, Request } from "../model/transaction.ts";

/** What a caller wants to do. Reading is not among it: that is for everyone. */
export type Action =
  | { readonly verb: "submit"; readonly request: Request }
  /** `ownerUid` is the user who asked for the transaction. */
  | { readonly verb: "cancel"; readonly transaction: string; readonly ownerUid: number }
  | { readonly verb: "reload" }
  /** A remote's configuration is to be changed. */
  | { readonly verb: "add" | "modify" | "delete"; readonly remote: string };

/** How a caller may be asked. */
export interface Asking {
  /** The caller's program allows that a person is asked for a password. */
  readonly interactive: boolean;
}

/** Decides. */
export interface Authority {
  /** Resolves where the caller may, else throws NotAuthorized. */
  check(caller: Caller, action: Action, asking: Asking): Promise<void>;
}

/** The rule without polkit: only root and the user the daemon itself runs as may change anything, but everyone may cancel what is theirs. */
export function ownerAuthority(ownUid: number): Authority {
  return {
    async check(caller, action): Promise<void> {
      if (caller.uid === 0 || caller.uid === ownUid) return;
      if (action.verb === "cancel" && caller.uid === action.ownerUid) return;
      throw new AptOstreeError("NotAuthorized", `cannot ${nameOf(action)}: user ${caller.uid} may only look; run it as root`, {
        details: { uid: caller.uid },
      });
    },
  };
}

function nameOf(action: Action): string {
  if ("remote" in action) return `${action.verb} remote ${action.remote}`;
  return action.verb === "submit" ? action.request.kind : action.verb;
}
