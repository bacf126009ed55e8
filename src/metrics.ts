/**
 * What the daemon measures of itself, as text for Prometheus (exposition format 0.0.4). Own code, not a client library: these
 * hundred lines change less often than a dependency would, and the daemon's memory is for its work.
 */
import { type CounterName, type HistogramName, type LabelsOf, METRICS, type Meter } from "./scheduler/meter.ts";

/** The media type of the text. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const PREFIX = "apt_ostree_";
/** Upper bounds in seconds: from a lock that is free to a large upgrade over a slow line. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];

interface Histogram {
  /** Observations by bucket, not added up; the last is for what is above all bounds. */
  readonly counts: number[];
  sum: number;
}

/** A value, or one for each value of a label, that is asked for when the text is made. */
interface Gauge {
  readonly help: string;
  readonly read: () => number | Readonly<Record<string, number>>;
  readonly label: string;
}

/** Keeps the values from construction on: they start at 0 with each daemon, as Prometheus expects. */
export class Metrics implements Meter {
  /** Values by metric and then by labels as text. */
  readonly #counters = new Map<CounterName, Map<string, number>>();
  readonly #histograms = new Map<HistogramName, Map<string, Histogram>>();
  readonly #gauges = new Map<string, Gauge>();

  count<N extends CounterName>(name: N, labels: LabelsOf<N>): void {
    const values = this.#counters.get(name) ?? new Map<string, number>();
    this.#counters.set(name, values);
    const key = labelsText(name, labels);
    values.set(key, (values.get(key) ?? 0) + 1);
  }

  observe<N extends HistogramName>(name: N, seconds: number, labels: LabelsOf<N>): void {
    const values = this.#histograms.get(name) ?? new Map<string, Histogram>();
    this.#histograms.set(name, values);
    const key = labelsText(name, labels);
    const histogram = values.get(key) ?? { counts: BUCKETS.map(() => 0).concat(0), sum: 0 };
    values.set(key, histogram);
    const bucket = BUCKETS.findIndex((bound) => seconds <= bound);
    const index = bucket === -1 ? BUCKETS.length : bucket;
    histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
    histogram.sum += seconds;
  }

  /** Adds a value that `read` tells, or one for each value of a label; the name is told with the prefix, as those of `METRICS` are. */
  gauge(name: string, help: string, read: () => number): void;
  gauge(name: string, help: string, read: () => Readonly<Record<string, number>>, label: string): void;
  gauge(name: string, help: string, read: Gauge["read"], label = ""): void {
    this.#gauges.set(name, { help, read, label });
  }

  /** The text. Counters without labels are there from the start; of the others, the label values that have occurred. */
  render(): string {
    const families = (Object.keys(METRICS) as (keyof typeof METRICS)[]).map((name) => {
      const { type, help } = METRICS[name];
      const lines = type === "counter" ? this.#counterLines(name as CounterName) : this.#histogramLines(name as HistogramName);
      return family(name, type, help, lines);
    });
    const gauges = [...this.#gauges].map(([name, gauge]) => family(name, "gauge", gauge.help, gaugeLines(name, gauge)));
    return [...families, ...gauges].join("");
  }

  #counterLines(name: CounterName): string[] {
    const values = this.#counters.get(name) ?? new Map<string, number>(METRICS[name].labels.length === 0 ? [["", 0]] : []);
    return [...values].map(([labels, value]) => `${PREFIX}${name}${braced(labels)} ${value}`);
  }

  #histogramLines(name: HistogramName): string[] {
    return [...(this.#histograms.get(name) ?? [])].flatMap(([labels, { counts, sum }]) => {
      const before = labels === "" ? "" : `${labels},`;
      let total = 0;
      const buckets = counts.map((count, index) => {
        total += count;
        return `${PREFIX}${name}_bucket{${before}le="${BUCKETS[index] ?? "+Inf"}"} ${total}`;
      });
      return [...buckets, `${PREFIX}${name}_sum${braced(labels)} ${valueText(sum)}`, `${PREFIX}${name}_count${braced(labels)} ${total}`];
    });
  }
}

function gaugeLines(name: string, { read, label }: Gauge): string[] {
  const value = read();
  if (typeof value === "number") return [`${PREFIX}${name} ${valueText(value)}`];
  return Object.entries(value).map(([of, each]) => `${PREFIX}${name}{${label}="${of}"} ${valueText(each)}`);
}

function family(name: string, type: string, help: string, lines: readonly string[]): string {
  return [`# HELP ${PREFIX}${name} ${help}`, `# TYPE ${PREFIX}${name} ${type}`, ...lines].map((line) => `${line}\n`).join("");
}

/** Labels in the order of the table: 'kind="install",state="finished"'. */
function labelsText(name: keyof typeof METRICS, labels: Readonly<Record<string, string>>): string {
  return METRICS[name].labels
    .map((label) => `${label}="${(labels[label] ?? "").replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`)
    .join(",");
}

function braced(labels: string): string {
  return labels === "" ? "" : `{${labels}}`;
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}
