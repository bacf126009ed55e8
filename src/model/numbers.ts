/**
 * Numbers of accounts that packages create: adduser(8) takes the next free one, so it would depend on what else is installed and in which
 * order, and files in /var, which outlive the tree, would change hands. Each name therefore keeps the number that it had first.
 */

/** Numbers by name. */
export interface AccountNumbers {
  readonly users: ReadonlyMap<string, number>;
  readonly groups: ReadonlyMap<string, number>;
}

/** What numbers are chosen from. */
export interface NumberSources {
  /** What packages created just now, with the number that each got. */
  readonly created: AccountNumbers;
  /** Of the created ones, those to which a package gives a number itself. */
  readonly fixed: { readonly users: ReadonlySet<string>; readonly groups: ReadonlySet<string> };
  /** The numbers that names had before. */
  readonly pinned: AccountNumbers;
  /** The accounts of the tree that the packages were installed into. */
  readonly base: AccountNumbers;
  /** The accounts of the running system: what it says of a name counts most, as /etc/passwd outlives the tree, too. */
  readonly host: AccountNumbers;
}

/** What was chosen. */
export interface NumberChoice {
  /** The created accounts, each with its number. */
  readonly numbers: AccountNumbers;
  /** The pins from now on: the former ones, the base's and the chosen ones. */
  readonly pinned: AccountNumbers;
  /** Names that could not keep the number they had. */
  readonly displaced: readonly string[];
}

/** Numbers that adduser(8) and sysusers.d(5) give out; all others are fixed by somebody. */
const FIRST = 100;
const LAST = 999;
const KINDS = ["users", "groups"] as const;
type Kind = (typeof KINDS)[number];

/** Whether a number is one that is given out as the next free one. */
export function isGivenOut(number: number): boolean {
  return number >= FIRST && number <= LAST;
}

/** Chooses the number of every created account: the host's, else the pinned one, else the one it got, else the next free one. */
export function chooseNumbers({ created, fixed, pinned, base, host }: NumberSources): NumberChoice {
  const chosen = { users: new Map<string, number>(), groups: new Map<string, number>() };
  const holders = { users: new Map<number, string>(), groups: new Map<number, string>() };
  for (const kind of KINDS) {
    // Later ones win: what is in the tree is, whatever was promised.
    for (const [name, number] of [...pinned[kind], ...host[kind], ...base[kind]]) holders[kind].set(number, name);
    for (const [name, number] of created[kind]) {
      if (isGivenOut(number) && !fixed[kind].has(name)) continue;
      chosen[kind].set(name, number);
      holders[kind].set(number, name);
    }
  }
  const displaced = new Set<string>();
  const wish = (kind: Kind, name: string): number | undefined => host[kind].get(name) ?? pinned[kind].get(name);
  const isFree = (kind: Kind, name: string, number: number): boolean => (holders[kind].get(number) ?? name) === name;
  const choose = (kinds: readonly Kind[], name: string, wanted: number): void => {
    const number = candidates(wanted).find((one) => kinds.every((kind) => isFree(kind, name, one))) ?? wanted;
    for (const kind of kinds) {
      if ((wish(kind, name) ?? number) !== number) displaced.add(name);
      chosen[kind].set(name, number);
      holders[kind].set(number, name);
    }
  };
  // Who has a number already comes first, then in the order of creation.
  const names = [...new Set([...created.users.keys(), ...created.groups.keys()])];
  const hasWish = (name: string): boolean => KINDS.some((kind) => created[kind].has(name) && wish(kind, name) !== undefined);
  for (const name of [...names.filter(hasWish), ...names.filter((one) => !hasWish(one))]) {
    const open = KINDS.filter((kind) => created[kind].has(name) && !chosen[kind].has(name));
    const wishes = new Set(open.map((kind) => wish(kind, name)).filter((number) => number !== undefined));
    const got = new Set(open.map((kind) => created[kind].get(name) ?? FIRST));
    // A user and its own group that got one number keep having one.
    if (got.size === 1 && wishes.size <= 1) choose(open, name, [...wishes, ...got][0] ?? FIRST);
    else for (const kind of open) choose([kind], name, wish(kind, name) ?? created[kind].get(name) ?? FIRST);
  }
  const pins = (kind: Kind): Map<string, number> => new Map([...pinned[kind], ...[...base[kind]].filter(([, n]) => isGivenOut(n)), ...chosen[kind]]);
  return { numbers: chosen, pinned: { users: pins("users"), groups: pins("groups") }, displaced: [...displaced].sort() };
}

/** The number itself, then the ones after it, then the ones before. */
function candidates(wanted: number): number[] {
  const all = Array.from({ length: LAST - FIRST + 1 }, (_, index) => FIRST + index);
  return [wanted, ...all.filter((number) => number > wanted), ...all.filter((number) => number < wanted)];
}
