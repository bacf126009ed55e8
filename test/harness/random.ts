/** Random decisions that a seed repeats. */

/** Numbers that only the parts of a seed decide (mulberry32 on their FNV-1a hash). */
export class Random {
  #state: number;

  constructor(...seed: readonly (number | string)[]) {
    this.#state = 0x811c9dc5;
    for (const byte of Buffer.from(seed.join(" "))) this.#state = Math.imul(this.#state ^ byte, 0x01000193);
  }

  /** A number from 0 up to, not including, 1. */
  share(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.share() * (most - least + 1));
  }

  /** True in that share of all cases. */
  chance(share: number): boolean {
    return this.share() < share;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly [T, ...T[]] | readonly T[]): T {
    return list[this.whole(0, list.length - 1)] as T;
  }

  /** One of the keys, each as likely as its weight says. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries(weights) as [K, number][];
    let left = this.share() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key;
    }
    return (entries.at(-1) as [K, number])[0];
  }

  /** That many of a list, in its order. */
  some<T>(list: readonly T[], count: number): T[] {
    const left = new Set(list);
    while (left.size > Math.max(0, count)) left.delete(this.pick([...left]));
    return [...left];
  }
}
