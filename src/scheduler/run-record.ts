/** The journal row of a run: changed in memory at once, and written as a whole. */
import type { Stage, StageTiming } from "../model/transaction.ts";
import type { Clock } from "./clock.ts";
import type { Journal, RunFacts, RunRow, StepRow } from "./ports.ts";

/** One run's row. */
export class RunRecord {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #bootId: string;
  #row: RunRow;

  constructor(row: RunRow, { journal, clock, bootId }: { readonly journal: Journal; readonly clock: Clock; readonly bootId: string }) {
    this.#row = row;
    this.#journal = journal;
    this.#clock = clock;
    this.#bootId = bootId;
  }

  get row(): RunRow {
    return this.#row;
  }

  change(values: Partial<RunRow>): void {
    this.#row = { ...this.#row, ...values };
  }

  note(facts: RunFacts): void {
    this.change({ facts: { ...this.#row.facts, ...facts } });
  }

  addTiming(timing: StageTiming): void {
    this.change({ timings: [...this.#row.timings, timing] });
  }

  /** Forgets what a new plan decides anew. The lists are the newest then: those of the first plan may name what the mirror has dropped since. */
  forgetPlan(): void {
    const { deploymentsBefore: _, listsGeneration: __, ...facts } = this.#row.facts;
    this.change({ facts });
  }

  /** Resolves when the row is durable, with the step where there is one. */
  async save(stage?: Stage, phase?: StepRow["phase"]): Promise<void> {
    const atMs = this.#clock.now();
    this.change({ updatedMs: atMs, bootId: this.#bootId });
    const step = stage === undefined || phase === undefined ? undefined : { runId: this.#row.id, stage, phase, atMs };
    await this.#journal.updateRun(this.#row, step);
  }
}
