import { insist } from "../page/connection.js";
import { askJson } from "../page/server.js";

/**
 * @typedef {import("../page/server.js").Item} Item
 * @typedef {{open: number, accepted: number, corrected: number, rejected: number, failed: number}} Counts
 * @typedef {{view: Record<string, number>, verdict: Record<string, number>, doubt: {known: number, none: number}}} Facets
 * @typedef {{items: Item[], cursor: string | null, total: number, counts: Counts, revision: number, facets: Facets, running: boolean}} Answer
 */

const PAGE = 120;
const AHEAD_PX = 1500;

/**
 * Loads the queue page by page, as far as somebody scrolls.
 */
export class Pages {
  /**
   * @param {import("./listing.js").Listing} listing
   * @param {Element} end stands behind the last card
   * @param {(answer: Answer) => void} arrived
   */
  constructor(listing, end, arrived) {
    this.listing = listing;
    this.arrived = arrived;
    this.end = end;
    /** @type {string | null} where the next page begins */
    this.cursor = null;
    this.turn = 0;
    this.observer = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#next(), { rootMargin: `${AHEAD_PX}px` });
  }

  /** Show a first page. @param {Answer} answer */
  begin(answer) {
    this.turn++;
    this.listing.clear();
    this.#show(answer);
  }

  /** Ask for the first page anew: the filters are others. */
  async restart() {
    const turn = ++this.turn;
    this.observer.disconnect();
    const answer = await this.#ask({});
    if (turn === this.turn) this.begin(answer);
  }

  async #next() {
    const { cursor, turn } = this;
    if (!cursor) return;
    this.observer.disconnect();
    const answer = await this.#ask({ after: cursor });
    if (turn === this.turn) this.#show(answer);
  }

  /** @param {Record<string, string>} more @returns {Promise<Answer>} */
  #ask(more) {
    return insist(() => askJson(`/api/photos${this.listing.query.searchWith({ limit: String(PAGE), ...more })}`));
  }

  /** @param {Answer} answer */
  #show(answer) {
    this.cursor = answer.cursor;
    this.listing.append(answer.items);
    this.arrived(answer);
    if (answer.cursor) this.observer.observe(this.end); // tells at once if the end is still in sight
  }
}
