/** What the files of a request are: kept when it is asked for, so that their sources may vanish, and frozen in the request. */
import { isAddress } from "../model/request.ts";
import type { Request } from "../model/transaction.ts";
import type { Engines } from "./ports.ts";

/** The request with its local packages. Throws what `Engines.keepLocals` throws. */
export async function resolveLocals(request: Request, engines: Pick<Engines, "keepLocals">): Promise<Request> {
  const paths = (request.files ?? []).filter((file) => !isAddress(file));
  return paths.length === 0 ? request : { ...request, locals: [...new Set(await engines.keepLocals(paths))].sort() };
}
