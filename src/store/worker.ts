/**
 * The thread that owns the database: takes whatever calls have queued up, hands them to `Groups` as one group, and answers them
 * all. Started by `journal.ts`; ends when it is told to close, or by an uncaught exception, which `journal.ts` sees.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { AptOstreeError } from "../model/errors.ts";
import { openDatabase } from "./database.ts";
import { failure } from "./failures.ts";
import { Groups } from "./group.ts";
import type { Answer, FromWorker, ToWorker, WorkerData } from "./protocol.ts";

/** Bounds how long the first of a group waits for the last. */
const MAX_GROUP = 512;
/** How long messages wait for a commit to ride along with before they get one of their own. */
const RIDE_MS = 200;

function serve(port: MessagePort, path: string): void {
  const { db, setAside } = openDatabase(path);
  const groups = new Groups(db, path);
  let timer: NodeJS.Timeout | undefined;
  const send = (message: FromWorker): void => port.postMessage(message);

  const flushSoon = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      try {
        groups.flush();
      } catch {
        flushSoon(); // They stay queued; a disk that stays full is reported by the next write, which has somebody to tell.
      }
    }, RIDE_MS);
  };

  const close = (id: number): Answer => {
    clearTimeout(timer);
    try {
      groups.flush();
      return { id, value: undefined };
    } catch (error) {
      return { id, error: failure("close the journal", path, error).toValue() };
    } finally {
      db.close();
    }
  };

  port.on("message", (first: readonly ToWorker[]) => {
    const group = [...first];
    for (let next = poll(port); next !== undefined; next = group.length < MAX_GROUP ? poll(port) : undefined) group.push(...next);
    // Nothing is asked for after the end.
    const calls = group.filter((call) => call.name !== "close");
    const closeId = group.find(({ name }) => name === "close")?.id ?? null;
    const answers = groups.run(calls);
    if (closeId === null) {
      send({ kind: "answers", answers, commits: groups.commits });
      if (groups.hasRiders) flushSoon();
    } else {
      const last = close(closeId);
      send({ kind: "answers", answers: [...answers, last], commits: groups.commits });
      port.close();
    }
  });
  send({ kind: "ready", setAside });
}

function poll(port: MessagePort): readonly ToWorker[] | undefined {
  return (receiveMessageOnPort(port) as { message: readonly ToWorker[] } | undefined)?.message;
}

if (parentPort === null) throw new AptOstreeError("Internal", "internal error: the journal's thread was started as a program");
const { path } = workerData as WorkerData;
try {
  serve(parentPort, path);
} catch (error) {
  parentPort.postMessage({ kind: "unusable", error: failure("open the journal", path, error).toValue() } satisfies FromWorker);
}
