/** The progress of one transaction, in the way that suits what standard output is. */
import type { FollowEvent } from "../dbus/follow.ts";
import { isFinal, type RunMessage, type RunState, type TransactionView } from "../model/transaction.ts";
import type { Clock, Context, Globals, Output } from "./context.ts";
import { bytesOf, paint, printable, shorten } from "./format.ts";
import { classOf, etaOf, labelOf, waitingOf } from "./stages.ts";

/** Shows what happens. `show` gets every event in order, the last one being `finished` unless the following was given up. */
export interface Progress {
  /** The transaction exists and has this id. */
  submitted(id: string): void;
  show(event: FollowEvent): void;
  /** Something that the client itself has to say: that it cancels, that it leaves. */
  note(text: string): void;
  /** Nothing more will be shown: whatever stands on the screen is completed. */
  end(): void;
}

const REDRAW_MS = 100;
const CLEAR_LINE = "\r\x1b[K";
/** The states that a failed or cancelled transaction goes through to its end. */
const UNDOING: ReadonlySet<string> = new Set(["cancelling", "rollingBack"]);
const LOST = "Lost apt-ostreed; waiting for it to come back…";
const RESUMED = "apt-ostreed is back; following again";

/** The progress for an output: JSON lines where asked for, else nothing where asked for, else a line that moves or plain lines. */
export function makeProgress(
  context: Pick<Context, "stdout" | "stderr" | "clock">,
  options: Pick<Globals, "quiet"> & { readonly json: boolean },
): Progress {
  if (options.json) return new JsonProgress(context.stdout);
  if (options.quiet) return new QuietProgress(context.stderr);
  return context.stdout.terminal ? new LineProgress(context.stdout, context.clock) : new PlainProgress(context.stdout);
}

/** A message as a line of its own, with its level where that is not "info". */
function messageText(output: Output, { level, text }: RunMessage): string {
  if (level === "info") return printable(text);
  return `${paint(output, level === "error" ? "red" : "yellow", `${level}:`)} ${printable(text)}`;
}

/**
 * The line of a transaction, at most `columns` - 1 characters, so that no terminal wraps it:
 * "[ 43%] unpacking nginx · 12.3/20.1 MB · about 40 s left".
 */
export function progressLine(view: TransactionView, columns: number): string {
  const { percent, text, bytesDone, bytesTotal } = view.progress;
  const waiting = waitingOf(view);
  const whole = Math.max(0, Math.min(100, Math.floor(percent)));
  const head = waiting !== "" && whole === 0 ? "" : `[${String(whole).padStart(3)}%] `;
  const bytes = waiting === "" ? bytesOf(bytesDone, bytesTotal) : "";
  const warning = view.warning === "" ? "" : `${printable(view.warning)}: `;
  const body = `${warning}${waiting || bodyOf(view, text)}`;
  // The numbers are worth more than the end of a long text, but not more than all of it; the first are worth most.
  const numbers = [bytes, isFinal(view.state) ? "" : etaOf(view), classOf(view)].filter((part) => part !== "");
  for (; numbers.length > 0; numbers.pop()) {
    const tail = numbers.map((part) => ` · ${part}`).join("");
    const room = columns - 1 - head.length - tail.length;
    if (room >= Math.min(12, [...body].length)) return `${head}${shorten(body, room)}${tail}`;
  }
  return shorten(`${head}${body}`, columns - 1);
}

function bodyOf(view: TransactionView, text: string): string {
  switch (view.state) {
    case "finished":
      return "done";
    case "failed":
    case "cancelled":
      return text === "" ? view.state : `${printable(text)}: ${view.state}`;
    default:
      return text === "" ? labelOf(view.state).toLowerCase() : printable(text);
  }
}

/** On a terminal: one line, rewritten at most ten times a second; messages go above it. */
class LineProgress implements Progress {
  readonly #output: Output;
  readonly #clock: Clock;
  #view: TransactionView | null = null;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #stopTimer: (() => void) | null = null;
  #onScreen = false;

  constructor(output: Output, clock: Clock) {
    this.#output = output;
    this.#clock = clock;
  }

  submitted(): void {}

  show(event: FollowEvent): void {
    if (event.kind === "lost") {
      this.#above(LOST);
      return;
    }
    if (event.kind === "resumed") this.#above(RESUMED);
    if (event.kind === "message") this.#above(messageText(this.#output, event.message));
    // The daemon forgets how far one got that did not finish.
    const unfinished = event.kind === "finished" && event.view.state !== "finished" && this.#view !== null;
    this.#view = unfinished ? { ...event.view, progress: this.#view?.progress ?? event.view.progress } : event.view;
    const waitMs = this.#drawnMs + REDRAW_MS - this.#clock.nowMs();
    if (event.kind === "finished" || waitMs <= 0) this.#draw();
    else this.#stopTimer ??= this.#clock.after(waitMs, () => this.#draw());
  }

  note(text: string): void {
    this.#above(text);
  }

  end(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    if (this.#onScreen) this.#output.write("\n");
    this.#onScreen = false;
  }

  #draw(): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    if (this.#view === null) return;
    this.#drawnMs = this.#clock.nowMs();
    this.#onScreen = true;
    this.#output.write(`${CLEAR_LINE}${progressLine(this.#view, this.#output.columns())}`);
  }

  #above(text: string): void {
    const line = this.#onScreen && this.#view !== null ? progressLine(this.#view, this.#output.columns()) : "";
    this.#output.write(`${this.#onScreen ? CLEAR_LINE : ""}${text}\n${line}`);
  }
}

/** In a file or a pipe: "Downloading… done", once for each stage. What is said in between gets lines of its own. */
class PlainProgress implements Progress {
  readonly #output: Output;
  /** The state whose label was written and not yet completed. */
  #state: RunState | "" = "";
  /** Whether the label still ends the last line. */
  #open = false;
  #waiting = "";
  #warning = "";

  constructor(output: Output) {
    this.#output = output;
  }

  submitted(): void {}

  show(event: FollowEvent): void {
    if (event.kind === "lost") this.note(LOST);
    else if (event.kind === "message") this.note(messageText(this.#output, event.message));
    else if (event.kind === "finished") this.#close(event.view.state === "finished" || UNDOING.has(this.#state) ? "done" : event.view.state);
    else {
      if (event.kind === "resumed") this.note(RESUMED);
      this.#update(event.view);
    }
  }

  #update(view: TransactionView): void {
    // Cleaning up belongs to the stage before it, whose outcome only the end tells.
    if (view.state === "cleaning") return;
    if (view.state !== this.#state) this.#close(view.state === "rollingBack" ? "failed" : view.state === "cancelling" ? "stopped" : "done");
    if (view.warning !== "" && view.warning !== this.#warning) this.note(`${paint(this.#output, "yellow", "warning:")} ${printable(view.warning)}`);
    this.#warning = view.warning;
    const waiting = waitingOf(view);
    if (waiting !== "" && waiting !== this.#waiting) this.note(`${waiting.charAt(0).toUpperCase()}${waiting.slice(1)}`);
    this.#waiting = waiting;
    if (waiting !== "" || view.state === this.#state) return;
    this.#state = view.state;
    this.#open = true;
    this.#output.write(`${labelOf(view.state)}…`);
  }

  note(text: string): void {
    this.#output.write(`${this.#open ? "\n" : ""}${text}\n`);
    this.#open = false;
  }

  end(): void {
    if (this.#open) this.#output.write("\n");
    this.#open = false;
  }

  #close(outcome: string): void {
    if (this.#state !== "") this.#output.write(this.#open ? ` ${outcome}\n` : `${labelOf(this.#state)}… ${outcome}\n`);
    this.#state = "";
    this.#open = false;
  }
}

/** With --quiet: warnings and errors of the run, on standard error. */
class QuietProgress implements Progress {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  submitted(): void {}

  show(event: FollowEvent): void {
    if (event.kind === "message" && event.message.level !== "info") this.note(messageText(this.#output, event.message));
  }

  note(text: string): void {
    this.#output.write(`${text}\n`);
  }

  end(): void {}
}

/** With --json: an object a line. */
class JsonProgress implements Progress {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  submitted(id: string): void {
    this.#line({ event: "submitted", id });
  }

  show(event: FollowEvent): void {
    if (event.kind === "lost") this.#line({ event: "lost" });
    else if (event.kind === "message") this.#line({ event: "message", id: event.view.id, ...event.message });
    else if (event.kind === "progress")
      this.#line({ event: "progress", id: event.view.id, state: event.view.state, ...event.view.progress, eta: event.view.eta });
    else this.#line({ event: event.kind, transaction: event.view });
  }

  note(text: string): void {
    this.#line({ event: "note", text });
  }

  end(): void {}

  #line(value: object): void {
    this.#output.write(`${JSON.stringify(value)}\n`);
  }
}
