/** The journal row of a run: changed in memory at once, and written as a whole. */
import type { Stage, StageTiming } from "../model/transaction.ts";
import type { Clock } from "./clock.ts";
import type { Journal, RunFacts, RunRow, StepRow, TransactionRow } from "./ports.ts";

/** One run's row. */
export class RunRecord {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #bootId: string;
  #row: RunRow;
  #owed: readonly StepRow[] = [];

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

  /** A step that needs no commit of its own: nothing that follows relies on it before the next row is durable. */
  owe(stage: Stage, phase: StepRow["phase"]): void {
    this.#owed = [...this.#owed, { runId: this.#row.id, stage, phase, atMs: this.#clock.now() }];
  }

  /** Resolves when the row is durable, with the steps that are owed. */
  async save(): Promise<void> {
    await this.#write((steps) => this.#journal.updateRun(this.#row, ...steps));
  }

  /** Resolves when the step, the row and the steps that are owed are durable. */
  async step(stage: Stage, phase: StepRow["phase"]): Promise<void> {
    const atMs = this.#clock.now();
    await this.#write((steps) => this.#journal.updateRun(this.#row, ...steps, { runId: this.#row.id, stage, phase, atMs }));
  }

  /** Resolves when the row is durable as the last one, with the steps that are owed and the transactions that end with it. */
  async end(transactions: readonly TransactionRow[]): Promise<void> {
    await this.#write((steps) => this.#journal.endRun(this.#row, steps, transactions));
  }

  async #write(write: (steps: readonly StepRow[]) => Promise<void>): Promise<void> {
    this.change({ updatedMs: this.#clock.now(), bootId: this.#bootId });
    const steps = this.#owed;
    this.#owed = [];
    try {
      await write(steps);
    } catch (error) {
      this.#owed = [...steps, ...this.#owed];
      throw error;
    }
  }
}
