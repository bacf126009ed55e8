/** The history of epochs that stress tests hold answers against sees what it is there to see. */
import { expect, it } from "vitest";
import { EpochHistory } from "../harness/epochs.ts";
import { snapshot } from "../harness/memory-scheduler.ts";
import { transactionView } from "../harness/views.ts";

const status = (epoch: number, warnings: string[] = []) => ({ snapshot: { ...snapshot(epoch), warnings }, transactions: [] });

it("is content with answers that overlap, and with an old one that says so", () => {
  const history = new EpochHistory();
  const [first, second] = [history.asks(), history.asks()];
  second(status(2));
  first(status(1));
  history.asks()({ ...status(1), staleMs: 40 });
  history.asks()(status(2));
  expect([history.violations, history.answers, history.epochs]).toEqual([[], 4, 2]);
});

it("tells of two states of one epoch, of an epoch that went back, and of a transaction of another one", () => {
  const history = new EpochHistory();
  history.asks()(status(2));
  history.asks()(status(2, ["not so before"]));
  history.asks()(status(1));
  history.asks()({ ...status(3), transactions: [transactionView({ epoch: 2 })] });
  expect(history.violations.map((text) => text.split(" ").slice(0, 3).join(" "))).toEqual([
    "epoch 2 was",
    "epoch 1 was",
    "transaction 7f3a5c9d1e20 of",
  ]);
});
