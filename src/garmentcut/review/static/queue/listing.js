import { element } from "../page/elements.js";
import { fillCard, makeCard } from "./card.js";

/**
 * @typedef {import("../page/server.js").Item} Item
 * @typedef {import("./query.js").Query} Query
 */

/**
 * The cards on the page, in the queue's order; sorted by garment, its views stand in a frame of their own.
 */
export class Listing {
  /** @param {HTMLElement} place @param {Query} query */
  constructor(place, query) {
    this.place = place;
    this.query = query;
    /** In the order of the page. @type {Item[]} */
    this.items = [];
    /** @type {Map<number, HTMLElement>} */
    this.cards = new Map();
  }

  clear() {
    this.items = [];
    this.place.classList.toggle("by-garment", this.query.isByGarment);
    this.cards.clear();
    this.place.replaceChildren();
  }

  /** Put a page's photos behind those that are there. @param {Item[]} items */
  append(items) {
    for (const item of items) {
      if (this.cards.has(item.id)) this.#refill(item);
      else this.#insert(item, this.items.length);
    }
  }

  /**
   * A photo changed, or is new. One that no longer matches stays where it is: a card that vanishes under the hand, or a
   * list that jumps, costs more than it tells.
   *
   * @param {Item} item
   * @param {boolean} hasMore there are photos that were not loaded yet
   */
  update(item, hasMore) {
    if (this.cards.has(item.id)) return this.#refill(item);
    if (!this.query.takes(item)) return;
    const place = this.items.findIndex((other) => this.query.compare(item, other) < 0);
    if (place >= 0 || !hasMore) this.#insert(item, place < 0 ? this.items.length : place);
  }

  /** @param {number} id */
  itemOf(id) {
    return this.items.find((item) => item.id === id) ?? null;
  }

  /** @param {Item} item */
  #refill(item) {
    this.items[this.items.findIndex((other) => other.id === item.id)] = item;
    fillCard(/** @type {HTMLElement} */ (this.cards.get(item.id)), item);
  }

  /** @param {Item} item @param {number} index */
  #insert(item, index) {
    const card = makeCard(item, this.query.search);
    const before = this.items[index - 1];
    const after = this.items[index];
    this.items.splice(index, 0, item);
    this.cards.set(item.id, card);
    const behind = after && this.cards.get(after.id);
    if (!this.query.isByGarment) return void this.place.insertBefore(card, behind ?? null);
    const last = before && this.cards.get(before.id);
    if (before?.garment === item.garment && last) return void last.after(card);
    if (after?.garment === item.garment && behind) return void behind.before(card);
    this.place.insertBefore(groupOf(item, card), behind?.closest(".group") ?? null);
  }
}

/** @param {Item} item @param {HTMLElement} card */
function groupOf(item, card) {
  const button = element("button", { type: "button", title: "Show this garment only" }, item.garment || item.name);
  button.dataset.garment = item.garment;
  return element("section.group", { "aria-label": item.garment }, element("h2", {}, button), card);
}
