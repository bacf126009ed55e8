/** What the scheduler measures of itself: names, meanings and labels in one table, and the port that takes the values. */

/** A metric as Prometheus knows it (exposition format 0.0.4); the names are told with the prefix `apt_ostree_`. */
interface Metric {
  readonly type: "counter" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
}

/** Every metric of the scheduler. Times are in seconds, as Prometheus wants them. */
export const METRICS = {
  transactions_total: { type: "counter", help: "Transactions that have ended.", labels: ["kind", "state"] },
  runs_total: { type: "counter", help: "Runs that have ended.", labels: ["kind", "state"] },
  meetings_total: { type: "counter", help: "How accepted requests met what was there: new, join, absorb, merge or promote.", labels: ["meeting"] },
  resumes_total: { type: "counter", help: "Runs that a daemon took up after another one had died.", labels: [] },
  queue_wait_seconds: { type: "histogram", help: "From the request to the beginning of its run.", labels: ["class"] },
  lock_wait_seconds: { type: "histogram", help: "From asking for a stage's locks to having them.", labels: ["stage"] },
  lock_hold_seconds: { type: "histogram", help: "How long a stage had its locks.", labels: ["stage"] },
  exclusive_seconds: { type: "histogram", help: "How long a deployment was written: the exclusive window.", labels: [] },
  stage_seconds: { type: "histogram", help: "How long a stage worked.", labels: ["kind", "stage", "cached"] },
  cancel_seconds: { type: "histogram", help: "From a cancel to the end of the work it stopped.", labels: ["stage"] },
} as const satisfies Record<string, Metric>;

type NameOf<T extends Metric["type"]> = { [N in keyof typeof METRICS]: (typeof METRICS)[N]["type"] extends T ? N : never }[keyof typeof METRICS];

/** The metrics that only rise. */
export type CounterName = NameOf<"counter">;
/** The metrics with a distribution. */
export type HistogramName = NameOf<"histogram">;

/** The values of a metric's labels. */
export type LabelsOf<N extends keyof typeof METRICS> = { readonly [L in (typeof METRICS)[N]["labels"][number]]: string };

/** Takes what is measured. Never throws. */
export interface Meter {
  count<N extends CounterName>(name: N, labels: LabelsOf<N>): void;
  observe<N extends HistogramName>(name: N, seconds: number, labels: LabelsOf<N>): void;
}
