/** The sysroot's object and those of its stateroots, kept to the last published snapshot. */
import { bootedDeployment, type SysrootSnapshot } from "../model/sysroot.ts";
import { bind } from "./binding.ts";
import { deploymentValue } from "./deployment.ts";
import { SYSROOT } from "./interfaces.ts";
import { osBinding } from "./os.ts";
import type { ObjectServer } from "./server.ts";
import { osPath, SYSROOT_PATH } from "./wire.ts";

/** Serves `Sysroot` and one `OS` for each stateroot that has a deployment. */
export class SysrootObjects {
  readonly #server: ObjectServer;
  #snapshot: SysrootSnapshot;
  #stateroots = new Set<string>();

  constructor(server: ObjectServer, snapshot: SysrootSnapshot, activeTransactions: () => readonly string[]) {
    this.#server = server;
    this.#snapshot = snapshot;
    this.#follow();
    const binding = bind(SYSROOT, {
      methods: {},
      properties: {
        Epoch: () => this.#snapshot.epoch,
        Path: () => this.#snapshot.sysroot,
        Booted: () => {
          const booted = bootedDeployment(this.#snapshot);
          return booted === undefined ? "/" : osPath(booted.stateroot);
        },
        Deployments: () => this.#snapshot.deployments.map(deploymentValue),
        ActiveTransactions: activeTransactions,
      },
    });
    server.add(SYSROOT_PATH, [binding]);
  }

  /** Shows a new snapshot; stateroots appear before anything names them, and go after. */
  show(snapshot: SysrootSnapshot): void {
    this.#snapshot = snapshot;
    const gone = this.#follow();
    this.#server.refresh(SYSROOT_PATH);
    for (const name of this.#stateroots) this.#server.refresh(osPath(name));
    for (const name of gone) this.#server.remove(osPath(name));
  }

  /** Tells of changed active transactions. */
  refresh(): void {
    this.#server.refresh(SYSROOT_PATH);
  }

  /** Adds the objects of new stateroots and gives the names of those that have gone. */
  #follow(): string[] {
    const now = new Set(this.#snapshot.deployments.map((deployment) => deployment.stateroot));
    const gone = [...this.#stateroots].filter((name) => !now.has(name));
    for (const name of now) {
      if (!this.#stateroots.has(name)) this.#server.add(osPath(name), [osBinding(name, () => this.#snapshot)]);
    }
    this.#stateroots = now;
    return gone;
  }
}
