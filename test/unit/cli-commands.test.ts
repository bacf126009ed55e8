import { execFileSync } from "node:child_process";
import { Command } from "commander";
import { describe, expect, it, vi } from "vitest";
import type { Context, Daemon, Output, Reading, RemoteConfiguration, Signal } from "../../src/cli/context.ts";
import { main } from "../../src/cli/main.ts";
import { COMPOSE_DESCRIPTION, makeProgram } from "../../src/cli/program.ts";
import { commandReference, commandsOf, manPage } from "../../src/cli/reference.ts";
import { composeCommand } from "../../src/compose/command.ts";
import type { DaemonStatus } from "../../src/dbus/client.ts";
import type { FollowEvent } from "../../src/dbus/follow.ts";
import { AptOstreeError, ERRORS, type ErrorCode } from "../../src/model/errors.ts";
import type { TransactionResult, TransactionView } from "../../src/model/transaction.ts";
import { LOCK_RULES } from "../../src/scheduler/lock-check.ts";
import type { LockReport } from "../../src/scheduler/waits-for.ts";
import { transactionView } from "../harness/views.ts";

const RULE = Object.keys(LOCK_RULES)[0] as keyof typeof LOCK_RULES;
const ID = "7f3a5c9d1e20";
const RESULT: TransactionResult = {
  changed: true,
  commit: "c".repeat(64),
  staged: true,
  diff: [{ name: "nginx", architecture: "amd64", from: "", to: "1.26.3-3" }],
  timings: [{ stage: "deploying", waitedMs: 0, tookMs: 1100, cached: false }],
  summary: "staged: takes effect at the next boot",
};

function view(values: Partial<TransactionView> = {}): TransactionView {
  return transactionView({ id: ID, caller: { sender: ":1.7", uid: 1000, pid: 42, agent: "cli" }, createdMs: 1_782_864_000_000, ...values });
}

const finished = (result: Partial<TransactionResult> = {}): FollowEvent => ({
  kind: "finished",
  view: view({ state: "finished", result: { ...RESULT, ...result } }),
});

/** The questions that have tests of their own. */
function unasked(): Reading & RemoteConfiguration {
  const fail = (): Promise<never> => Promise.reject(new Error("nobody asks that here"));
  const remotes = { remotes: fail, remoteRefs: fail, addRemote: fail, modifyRemote: fail, deleteRemote: fail };
  return { revision: fail, packages: fail, packageDiff: fail, changelogs: fail, why: fail, whyPlanned: fail, whyNot: fail, ...remotes };
}

/** A process whose daemon answers as the test says, to find what a person sees of each answer. */
class Bench {
  out = "";
  err = "";
  readonly asked: string[] = [];
  connections = 0;
  following = false;
  closed = 0;
  changed: (status: DaemonStatus) => void = () => {};
  readonly #listeners = new Map<Signal, Set<() => void>>();
  readonly #events: FollowEvent[];
  #wake: () => void = () => {};
  daemon: Partial<Daemon> = {};

  constructor(events: readonly FollowEvent[] = [finished()]) {
    this.#events = [...events];
  }

  put(event: FollowEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  signal(name: Signal): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) listener();
  }

  get listening(): number {
    return [...this.#listeners.values()].reduce((sum, { size }) => sum + size, 0);
  }

  run(...args: string[]): Promise<number> {
    return main(args, this.context());
  }

  context(): Context {
    const output = (write: (text: string) => void): Output => ({ write, terminal: false, colour: false, columns: () => 80 });
    return {
      stdout: output((text) => {
        this.out += text;
      }),
      stderr: output((text) => {
        this.err += text;
      }),
      clock: { nowMs: () => 0, after: () => () => {} },
      uid: 1000,
      connect: async (address) => {
        this.connections++;
        this.asked.push(`connect ${address}`);
        return this.#makeDaemon();
      },
      onSignal: (name, listener) => {
        const listeners = this.#listeners.get(name) ?? new Set();
        this.#listeners.set(name, listeners.add(listener));
        return () => listeners.delete(listener);
      },
    };
  }

  #makeDaemon(): Daemon {
    const bench = this;
    return {
      status: async () => ({
        version: "0.1.0",
        staleMs: 0,
        snapshot: { epoch: 1, readMs: 0, sysroot: "/", booted: false, deployments: [], warnings: [] },
        transactions: [],
      }),
      statusAfter: (epoch) => {
        bench.asked.push(`after ${epoch}`);
        return new Promise((resolve) => {
          bench.changed = resolve;
        });
      },
      submit: async (submission) => {
        bench.asked.push(`submit ${JSON.stringify(submission)}`);
        return ID;
      },
      transaction: async () => view(),
      transactions: async () => [view()],
      messages: async () => [],
      cancel: async (id) => {
        bench.asked.push(`cancel ${id}`);
      },
      async *follow(): AsyncGenerator<FollowEvent, void, undefined> {
        bench.following = true;
        for (;;) {
          const event = bench.#events.shift();
          if (event === undefined) {
            await new Promise<void>((resolve) => {
              bench.#wake = resolve;
            });
            continue;
          }
          yield event;
          if (event.kind === "finished") return;
        }
      },
      metrics: async () => "# HELP apt_ostree_epoch x\n",
      ...unasked(),
      lockReport: async () => ({ holders: [], waiting: [], graph: [], cycle: null, historyLength: 0, violations: [] }),
      close: async () => {
        bench.closed++;
      },
      ...this.daemon,
    };
  }
}

/** Until the condition holds: modules are loaded when a command runs, which takes as long as it takes. */
const until = (condition: () => unknown): Promise<unknown> => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 60_000, interval: 2 });

describe("the command line", () => {
  it("describes every command, and each command's help ends well and names its options", async () => {
    const program = makeProgram(new Bench().context(), () => {});
    const entries = commandsOf(program);
    expect(entries.length).toBeGreaterThanOrEqual(14);
    for (const { name, command } of entries) {
      expect(command.description(), name).not.toBe("");
      for (const option of command.options) expect(option.description, `${name} ${option.flags}`).not.toBe("");
      const bench = new Bench();
      expect(await bench.run(...name.split(" ").filter((word) => word !== ""), "--help"), name).toBe(0);
      expect(bench.out, name).toContain(`Usage: apt-ostree ${name}`);
      for (const option of command.options) expect(bench.out, name).toContain(option.long);
      expect(bench.connections).toBe(0);
    }
  });

  it("has the verbs of rpm-ostree, with their aliases", () => {
    const verbs = makeProgram(new Bench().context(), () => {}).commands.flatMap((command) => [command.name(), ...command.aliases()]);
    expect(verbs).toEqual(
      expect.arrayContaining([
        "status",
        "install",
        "uninstall",
        "remove",
        "upgrade",
        "update",
        "rollback",
        "refresh-md",
        "makecache",
        "cleanup",
        "cancel",
      ]),
    );
  });

  it.each([
    [[]],
    [["instal"]],
    [["install"]],
    [["install", "--reinstall", "vim"]],
    [["install", "--", "--reinstall"]],
    [["install", "UPPER"]],
    [["cleanup"]],
    [["upgrade", "vim"]],
    [["undo"]],
    [["transactions", "show"]],
    [["transactions", "list", "-n", "0"]],
    [["upgrade", "--no-wait", "--wait-timeout", "5"]],
    [["upgrade", "--wait-timeout", "0"]],
    [["upgrade", "--wait-timeout", "604801"]],
  ])("refuses %j with status 2, on standard error, before it connects", async (args) => {
    const bench = new Bench();
    expect(await bench.run(...args)).toBe(2);
    expect(bench.err).not.toBe("");
    expect(bench.out).toBe("");
    expect(bench.connections).toBe(0);
  });

  it("prints its version and the suggestion for a mistyped command", async () => {
    const bench = new Bench();
    expect(await bench.run("--version")).toBe(0);
    expect(bench.out).toMatch(/^\d+\.\d+\.\d+\n$/);
    await bench.run("instal");
    expect(bench.err).toContain("Did you mean install?");
  });

  it("adopts a command made elsewhere, whose usage errors end with 2 like all others", async () => {
    const made = (): Command => new Command("compose").description("make").addCommand(new Command("tree").argument("<file>").action(() => {}));
    const bench = new Bench();
    expect(await main(["compose", "tree"], bench.context(), made())).toBe(2);
    expect(bench.err).toContain("missing required argument");
    expect(await main(["compose", "tree", "file"], bench.context(), made())).toBe(0);
  });

  it("lists compose, which is loaded only when it is wanted, as compose describes itself", () => {
    expect(COMPOSE_DESCRIPTION).toBe(composeCommand().description());
  });

  it("asks on the bus that is named", async () => {
    const bench = new Bench();
    await bench.run("--bus", "unix:path=/x", "status");
    await bench.run("status");
    expect(bench.asked).toEqual(["connect unix:path=/x", "connect system"]);
  });
});

describe("a change", () => {
  it("is submitted, followed and reported with the package difference", async () => {
    const bench = new Bench();
    expect(await bench.run("install", "vim", "nginx", "--idempotent")).toBe(0);
    expect(JSON.parse(bench.asked[1]?.slice("submit ".length) ?? "")).toEqual({
      kind: "install",
      packages: ["nginx", "vim"],
      targets: [],
      idempotent: true,
      agent: "cli",
    });
    expect(bench.out).toBe("Added:\n  nginx 1.26.3-3\nTook 1.1 s: deploying 1.1 s\nChanges take effect at the next boot\n");
    expect([bench.err, bench.closed, bench.listening]).toEqual(["", 1, 0]);
  });

  it.each([
    [["remove", "vim"], "uninstall"],
    [["update"], "upgrade"],
    [["rollback"], "rollback"],
    [["makecache"], "refresh"],
    [["prefetch"], "prefetch"],
    [["cleanup", "-b", "-m"], "cleanup"],
  ])("%j asks for %s", async (args, kind) => {
    const bench = new Bench();
    expect(await bench.run(...args)).toBe(0);
    expect(bench.asked[1]).toContain(`"kind":"${kind}"`);
  });

  it.each([
    [["--background"], { class: "timer" }],
    [["--no-wait"], { noWait: true }],
    [["--wait-timeout", "90"], { waitTimeoutMs: 90_000 }],
  ])("can say how it waits: %j", async (args, keys) => {
    for (const command of [["upgrade"], ["install", "vim"], ["cleanup", "-b"], ["rollback"], ["refresh-md"], ["prefetch"], ["uninstall", "vim"]]) {
      const bench = new Bench();
      expect(await bench.run(...command, ...args)).toBe(0);
      expect(JSON.parse(bench.asked[1]?.slice("submit ".length) ?? "")).toMatchObject(keys);
    }
  });

  it("undoes a transaction that is named by the start of its id", async () => {
    const bench = new Bench();
    expect(await bench.run("undo", "7f3", "--background")).toBe(0);
    expect(JSON.parse(bench.asked[1]?.slice("submit ".length) ?? "")).toMatchObject({ kind: "undo", undoes: ID, class: "timer" });
    expect(await bench.run("undo", "nothex")).toBe(2);
    expect(await bench.run("undo", "ee")).toBe(1);
  });

  it("prints only the id where nobody wants to follow", async () => {
    const bench = new Bench([]);
    expect(await bench.run("upgrade", "--no-follow")).toBe(0);
    expect(bench.out).toBe(`${ID}\n`);
  });

  it("ends with 77 where nothing changed and that was asked for", async () => {
    const unchanged = finished({ changed: false, staged: false, diff: [], summary: "everything is up to date" });
    expect(await new Bench([unchanged]).run("upgrade", "--unchanged-exit-77")).toBe(77);
    const bench = new Bench([unchanged]);
    expect(await bench.run("upgrade")).toBe(0);
    expect(bench.out).toContain("Everything is up to date\n");
    expect(bench.out).not.toContain("next boot");
  });

  it.each(Object.keys(ERRORS) as ErrorCode[])("that ends as %s exits with the status of the table and says why", async (code) => {
    const bench = new Bench([{ kind: "finished", view: view({ state: "failed", error: { code, message: "cannot install nginx: reasons" } }) }]);
    expect(await bench.run("install", "nginx")).toBe(ERRORS[code].exitStatus);
    expect(bench.err).toBe("error: cannot install nginx: reasons\n");
  });

  it("that the daemon refuses is an error as well", async () => {
    const bench = new Bench();
    bench.daemon = { submit: () => Promise.reject(new AptOstreeError("NotAuthorized", "cannot install nginx: not allowed")) };
    expect(await bench.run("install", "nginx")).toBe(1);
    expect([bench.err, bench.closed, bench.listening]).toEqual(["error: cannot install nginx: not allowed\n", 1, 0]);
  });

  it("prints nothing but JSON lines for programs, and nothing at all where it is to be quiet", async () => {
    const json = new Bench();
    expect(await json.run("install", "nginx", "--json")).toBe(0);
    const lines = json.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).event);
    expect(lines).toEqual(["submitted", "finished"]);
    const quiet = new Bench();
    expect(await quiet.run("-q", "install", "nginx")).toBe(0);
    expect(quiet.out + quiet.err).toBe("");
  });
});

describe("Ctrl-C and other signals", () => {
  it("the first one cancels and waits for the end, which is status 130", async () => {
    const bench = new Bench([{ kind: "changed", view: view({ state: "downloading" }) }]);
    const running = bench.run("install", "nginx");
    await until(() => bench.following);
    bench.signal("SIGINT");
    await until(() => bench.asked.includes(`cancel ${ID}`));
    expect(bench.out).toContain("Cancelling… (^C again to stop following; the transaction goes on being cancelled)");
    bench.put({ kind: "finished", view: view({ state: "cancelled" }) });
    expect(await running).toBe(130);
    expect(bench.err).toBe("error: cannot install nginx: it was cancelled\n");
  });

  it("one that comes too late changes nothing: the result counts", async () => {
    const bench = new Bench([{ kind: "changed", view: view({ state: "deploying" }) }]);
    bench.daemon = { cancel: () => Promise.reject(new AptOstreeError("TooLate", "cannot cancel: it is past its point of no return")) };
    const running = bench.run("install", "nginx");
    await until(() => bench.following);
    bench.signal("SIGINT");
    await until(() => bench.out.includes("point of no return"));
    bench.put(finished());
    expect(await running).toBe(0);
    expect(bench.out).toContain("cannot cancel: it is past its point of no return\n");
  });

  it("the second one leaves at once with 130", async () => {
    const bench = new Bench([]);
    const running = bench.run("install", "nginx");
    await until(() => bench.following);
    bench.signal("SIGINT");
    bench.signal("SIGINT");
    expect(await running).toBe(130);
    expect(bench.out).toContain(`apt-ostree transactions follow ${ID}`);
  });

  it("one that comes before the id is known cancels the transaction once it is", async () => {
    const bench = new Bench([]);
    let answer: (id: string) => void = () => {};
    bench.daemon = {
      submit: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    };
    const running = bench.run("install", "nginx");
    await until(() => bench.listening > 0);
    bench.signal("SIGINT");
    answer(ID);
    await until(() => bench.asked.includes(`cancel ${ID}`));
    bench.put({ kind: "finished", view: view({ state: "cancelled" }) });
    expect(await running).toBe(130);
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s leaves without cancelling", async (name, status) => {
    const bench = new Bench([]);
    const running = bench.run("install", "nginx");
    await until(() => bench.following);
    bench.signal(name);
    expect(await running).toBe(status);
    expect(bench.asked.filter((call) => call.startsWith("cancel"))).toEqual([]);
  });

  it("a cancellation that no daemon heard is sent again to the next one", async () => {
    const bench = new Bench([]);
    let away = true;
    bench.daemon = {
      cancel: async (id) => {
        if (away) throw new AptOstreeError("Unavailable", "cannot reach apt-ostreed");
        bench.asked.push(`cancel ${id}`);
      },
    };
    const running = bench.run("install", "nginx");
    await until(() => bench.following);
    bench.put({ kind: "lost" });
    bench.signal("SIGINT");
    await until(() => bench.out.includes("cannot reach apt-ostreed"));
    away = false;
    bench.put({ kind: "resumed", view: view({ state: "downloading" }) });
    await until(() => bench.asked.includes(`cancel ${ID}`));
    bench.put({ kind: "finished", view: view({ state: "cancelled" }) });
    expect(await running).toBe(130);
  });

  it("never cancels what is only watched", async () => {
    const bench = new Bench([]);
    const running = bench.run("transactions", "follow", "7f3a");
    await until(() => bench.following);
    bench.signal("SIGINT");
    expect(await running).toBe(130);
    expect(bench.asked.filter((call) => call.startsWith("cancel"))).toEqual([]);
  });
});

describe("cancel", () => {
  const active = (...views: TransactionView[]): Partial<Daemon> => ({
    status: async () => ({
      version: "0.1.0",
      staleMs: 0,
      snapshot: { epoch: 1, readMs: 0, sysroot: "/", booted: false, deployments: [], warnings: [] },
      transactions: views,
    }),
  });

  it("says that there is nothing to cancel, which is no error", async () => {
    const bench = new Bench();
    expect(await bench.run("cancel")).toBe(0);
    expect(bench.out).toBe("No active transaction.\n");
  });

  it("takes the only active one of ours, and leaves those of others alone", async () => {
    const bench = new Bench([{ kind: "finished", view: view({ state: "cancelled" }) }]);
    bench.daemon = active(view(), view({ id: "000000000000", caller: { sender: ":1.9", uid: 0, pid: 1, agent: "gui" } }));
    expect(await bench.run("cancel")).toBe(0);
    expect(bench.asked).toContain(`cancel ${ID}`);
    expect(bench.out).toContain(`Cancelled ${ID} (install nginx)\n`);
  });

  it("wants a name where several are ours", async () => {
    const bench = new Bench();
    bench.daemon = active(view(), view({ id: "8f3a5c9d1e20" }));
    expect(await bench.run("cancel")).toBe(2);
    expect(bench.err).toContain("8f3a5c9d1e20 (install nginx)");
  });

  it("is too late for what has ended", async () => {
    const bench = new Bench();
    bench.daemon = { transaction: async () => view({ state: "finished", result: RESULT }) };
    expect(await bench.run("cancel", ID)).toBe(1);
    expect(bench.err).toBe(`error: cannot cancel ${ID} (install nginx): it is already finished\n`);
  });
});

describe("transactions and status", () => {
  it("finds a transaction by the start of its id, unless several begin so", async () => {
    const bench = new Bench();
    bench.daemon = { transactions: async () => [view(), view({ id: "7f00aaaaaaaa" })] };
    expect(await bench.run("transactions", "show", "7f3")).toBe(0);
    expect(bench.out).toContain(`Transaction: ${ID}\n`);
    expect(await bench.run("transactions", "show", "7f")).toBe(2);
    expect(bench.err).toContain("cannot choose transaction 7f");
    expect(await bench.run("transactions", "show", "ee")).toBe(1);
    expect(await bench.run("transactions", "show", "nothex")).toBe(2);
  });

  it("shows the locks, and ends with 1 where they broke a rule", async () => {
    const quiet = new Bench();
    expect(await quiet.run("debug", "locks")).toBe(0);
    expect(quiet.out).toBe("Holders: none\nWaiting: none\nWaits for: none\nhistory of 0 events: consistent\n");
    const bench = new Bench();
    const ticket = { priority: "interactive" as const, requestedMs: 1, grantedMs: null };
    const report: LockReport = {
      holders: [{ ...ticket, owner: "aaaaaaaaaaaa", needs: [{ resource: "sysroot", mode: "U" }], grantedMs: 2 }],
      waiting: [
        {
          ...ticket,
          owner: "bbbbbbbbbbbb",
          needs: [{ resource: "sysroot", mode: "U" }],
          obstacles: [{ resource: "sysroot", mode: "U", heldBy: ["aaaaaaaaaaaa"], behind: ["cccccccccccc"] }],
        },
      ],
      graph: [{ from: "bbbbbbbbbbbb", to: "aaaaaaaaaaaa", resource: "sysroot", mode: "U", reason: "held" }],
      cycle: null,
      historyLength: 9,
      violations: [{ seq: 7, owners: ["bbbbbbbbbbbb"], rule: RULE }],
    };
    const { snapshot } = { snapshot: { epoch: 1, readMs: 0, sysroot: "/", booted: false, deployments: [], warnings: [] } };
    bench.daemon = { lockReport: async () => report, status: async () => ({ version: "1", staleMs: 0, snapshot, transactions: [view()] }) };
    expect(await bench.run("debug", "locks")).toBe(1);
    expect(bench.out).toBe(`Holders:
  aaaaaaaaaaaa (install nginx): sysroot U
Waiting:
  1. bbbbbbbbbbbb: sysroot U, interactive; sysroot U is held by aaaaaaaaaaaa, cccccccccccc first
Waits for:
  bbbbbbbbbbbb -> aaaaaaaaaaaa (sysroot U, held)
history of 9 events: NOT consistent
  event 7 breaks ${RULE}: bbbbbbbbbbbb
`);
    bench.out = "";
    expect(await bench.run("debug", "locks", "--json")).toBe(1);
    expect(JSON.parse(bench.out)).toEqual(report);
  });

  it("prints the metrics as they are", async () => {
    const bench = new Bench();
    expect(await bench.run("metrics")).toBe(0);
    expect(bench.out).toBe("# HELP apt_ostree_epoch x\n");
  });

  it("lists by default, as a table or as JSON", async () => {
    const bench = new Bench();
    expect(await bench.run("transactions")).toBe(0);
    expect(bench.out).toBe(
      "ID            STATE      SUBMITTED             TOOK  REQUEST\n7f3a5c9d1e20  queued 0%  2026-07-01T00:00:00Z  -     install nginx\n",
    );
    const json = new Bench();
    expect(await json.run("transactions", "--json")).toBe(0);
    expect(JSON.parse(json.out)).toEqual([view()]);
  });

  it("gives one JSON document with the daemon's version", async () => {
    const bench = new Bench();
    expect(await bench.run("status", "--json")).toBe(0);
    expect(JSON.parse(bench.out)).toMatchObject({ version: "0.1.0", snapshot: { epoch: 1 }, transactions: [] });
    expect(await bench.run("status", "--booted")).toBe(1);
    expect(bench.err).toContain("cannot show the booted deployment");
  });
});

describe("waiting for a new status", () => {
  const at = (epoch: number): DaemonStatus => ({
    version: "0.1.0",
    staleMs: 0,
    snapshot: { epoch, readMs: 0, sysroot: "/", booted: false, deployments: [], warnings: [] },
    transactions: [],
  });

  it("starts from the current epoch or from a given one, and shows what comes", async () => {
    for (const [args, since] of [
      [["status", "--wait", "--json"], 1],
      [["status", "--since-epoch", "41", "--json"], 41],
    ] as const) {
      const bench = new Bench();
      const running = bench.run(...args);
      await until(() => bench.asked.includes(`after ${since}`));
      expect(bench.out).toBe("");
      bench.changed(at(42));
      expect(await running).toBe(0);
      expect(JSON.parse(bench.out).snapshot.epoch).toBe(42);
      expect(bench.listening).toBe(0);
    }
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("ends on %s with %d and prints nothing", async (name, status) => {
    const bench = new Bench();
    const running = bench.run("status", "--wait");
    await until(() => bench.asked.includes("after 1"));
    bench.signal(name);
    expect(await running).toBe(status);
    expect([bench.out, bench.err, bench.closed]).toEqual(["", "", 1]);
  });
});

describe("the reference", () => {
  const program = makeProgram(new Bench().context(), () => {}, composeCommand());

  it("has a section for each command, with each of its options", () => {
    const text = commandReference(program);
    for (const { name, command } of commandsOf(program)) {
      expect(text).toContain(`### \`${`apt-ostree ${name}`.trim()}\`\n`);
      for (const option of command.options) expect(text).toContain(`\`${option.flags}\``);
    }
    expect(text).toContain("| 77 | ");
  });

  it("as a manual page gives man no reason to complain", () => {
    const page = manPage(program);
    const options = { input: page, encoding: "utf8" as const, env: { ...process.env, MANWIDTH: "80", LC_ALL: "C.UTF-8" } };
    const complaints = execFileSync(
      "sh",
      ["-c", "command -v man >/dev/null || exit 0; man -l --warnings -E UTF-8 -Tutf8 - 2>&1 >/dev/null"],
      options,
    );
    expect(complaints).toBe("");
    expect(page).toMatch(/^\.TH APT-OSTREE 1 /);
  });
});
