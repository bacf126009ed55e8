/** A binary heap that also gives up items from its middle, which the usual libraries do only in linear time. */
export class Heap<T> {
  readonly #before: (a: T, b: T) => boolean;
  readonly #items: T[] = [];
  readonly #places = new Map<T, number>();

  /** `before` orders the items; it may look at what changes, as long as `moved` is told. */
  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The item before all others; undefined when there is none. */
  first(): T | undefined {
    return this.#items[0];
  }

  /** Takes in an item that is not in the heap. */
  add(item: T): void {
    this.#items.push(item);
    this.#settle(this.#items.length - 1, item);
  }

  /** Gives up an item, wherever it is and whatever has changed about it; false where it is not in the heap. */
  delete(item: T): boolean {
    const place = this.#places.get(item);
    if (place === undefined) return false;
    this.#places.delete(item);
    const last = this.#items.pop() as T;
    if (last !== item) this.#settle(place, last);
    return true;
  }

  /** Finds the new place of an item whose order has changed. */
  moved(item: T): void {
    const place = this.#places.get(item);
    if (place !== undefined) this.#settle(place, item);
  }

  #settle(from: number, item: T): void {
    let place = from;
    for (let parent = (place - 1) >> 1; place > 0 && this.#before(item, this.#at(parent)); parent = (place - 1) >> 1) {
      this.#put(place, this.#at(parent));
      place = parent;
    }
    for (let child = this.#earlierChild(place); child !== null && this.#before(this.#at(child), item); child = this.#earlierChild(place)) {
      this.#put(place, this.#at(child));
      place = child;
    }
    this.#put(place, item);
  }

  #earlierChild(place: number): number | null {
    const [left, right] = [2 * place + 1, 2 * place + 2];
    if (left >= this.#items.length) return null;
    return right < this.#items.length && this.#before(this.#at(right), this.#at(left)) ? right : left;
  }

  #at(place: number): T {
    return this.#items[place] as T;
  }

  #put(place: number, item: T): void {
    this.#items[place] = item;
    this.#places.set(item, place);
  }
}
