/**
 * `npm run soak`: a daemon that is kept busy for minutes, by 50 status pollers, four writers that also cancel, and a timer that
 * prefetches, must not come to hold more and more.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ErrorCode } from "../../src/model/errors.ts";
import { checkoutRoot } from "../../src/sandbox/layout.ts";
import { EpochHistory, pollEpochs } from "../harness/epochs.ts";
import { Random } from "../harness/random.ts";
import type { World } from "../harness/world.ts";
import { expectSurvived, observe } from "./check.ts";
import { runClient } from "./clients.ts";
import { Ledger } from "./ledger.ts";
import { readSoakOptions, type SoakOptions } from "./options.ts";
import { type Archive, NAMES } from "./packages.ts";
import { type Action, planAction } from "./plan.ts";
import { runRounds } from "./run.ts";
import { growthIn, type Sample, tableRow, takeSample } from "./sample.ts";

const WRITERS = 4;
/** Writers wait while more than this is under way: a queue that only grows would measure itself. */
const MAX_OPEN = 8;
const POLLERS = 50;
const CALLS_A_SECOND = 1;
/** Those whose answers are held against each other. */
const EPOCH_POLLERS = 4;
const PREFETCH_EVERY_MS = 5000;
const PUBLISH_EVERY_MS = 20_000;
const SAMPLE_EVERY_MS = 10_000;
/** The mirror changes while it is read. */
const MIRROR_ERRORS: readonly ErrorCode[] = ["DownloadFailed", "VerificationFailed"];
/** A short soak is looked at more often. */
const MIN_SAMPLES = 24;

async function soak(world: World, archive: Archive, { seed, minutes }: SoakOptions): Promise<void> {
  const lengthMs = minutes * 60_000;
  const startMs = performance.now();
  const isOver = (): boolean => performance.now() - startMs > lengthMs;
  await world.ok("refresh-md");
  const before = await observe(world);
  const ledger = new Ledger(MIRROR_ERRORS);
  const pollers = startPollers(world.host.bus);
  const samples: Sample[] = [];
  const history = new EpochHistory();
  const sampling = async (): Promise<void> => {
    say(tableRow(null));
    while (!isOver()) {
      await sleep(Math.min(SAMPLE_EVERY_MS, lengthMs / MIN_SAMPLES));
      const sample = await takeSample(world, (performance.now() - startMs) / 1000, ledger.accepted.length);
      say(tableRow(sample));
      samples.push(sample);
    }
  };
  try {
    await Promise.all([
      ...Array.from({ length: WRITERS }, (_, index) =>
        runClient(world.host.bus, `writer ${index + 1}`, randomActions(new Random(seed, index), ledger, isOver), ledger),
      ),
      runClient(world.host.bus, "timer", prefetches(isOver), ledger),
      publishing(archive, new Random(seed, "versions"), isOver),
      ...Array.from({ length: EPOCH_POLLERS }, () => pollEpochs(world.host.bus, history, { everyMs: 250, isOver })),
      sampling(),
    ]);
    say(`status, asked by ${POLLERS} pollers: ${await reportOf(pollers)}`);
  } finally {
    pollers.kill();
  }
  const views = await expectSurvived(world, before, ledger, false);
  say(`${views.filter(({ state }) => state === "finished").length} of ${views.length} accepted requests finished, ${ledger.refusals.length} refused`);
  say(`${history.answers} answers of ${history.epochs} epochs held against each other`);
  const wrong = [...growthIn(samples), ...history.violations];
  if (wrong.length > 0) throw new Error(wrong.slice(0, 10).join("; "));
  await world.ok("install", await archive.newPackage());
}

async function* randomActions(random: Random, ledger: Ledger, isOver: () => boolean): AsyncGenerator<Action> {
  while (!isOver()) {
    while (ledger.open > MAX_OPEN) await sleep(100);
    yield planAction(random);
  }
}

async function* prefetches(isOver: () => boolean): AsyncGenerator<Action> {
  while (!isOver()) yield { afterMs: PREFETCH_EVERY_MS, does: { kind: "prefetch", packages: [], targets: [] } };
}

async function publishing(archive: Archive, random: Random, isOver: () => boolean): Promise<void> {
  for (let version = 2; !isOver(); version++) {
    await archive.publish(random.some(NAMES, 2), String(version));
    for (let waited = 0; waited < PUBLISH_EVERY_MS && !isOver(); waited += 1000) await sleep(1000);
  }
}

function startPollers(bus: string): ChildProcess {
  const script = join(checkoutRoot(), "dist/test/bench/pollers.js");
  return spawn(process.execPath, [script, bus, String(POLLERS), String(CALLS_A_SECOND)], { stdio: ["pipe", "pipe", "inherit"] });
}

async function reportOf(pollers: ChildProcess): Promise<string> {
  let text = "";
  pollers.stdout?.on("data", (chunk) => {
    text += chunk;
  });
  const ended = once(pollers, "close");
  pollers.stdin?.end();
  await ended;
  return text.split("\n").at(-2) ?? "no report";
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const options = readSoakOptions(process.argv.slice(2));
const round = {
  name: `a soak of ${options.minutes} minutes, seed ${options.seed}`,
  run: (world: World, archive: Archive) => soak(world, archive, options),
};
const { violations } = await runRounds([round], say);
say(`${options.minutes} minutes, ${violations} violations`);
process.exitCode = violations === 0 ? 0 : 1;
