import { element, percentOf, STATES, VERDICTS, viewName } from "../page/page.js";
import { askJson } from "../page/server.js";

/**
 * @import { Item } from "../page/server.js"
 * @import { Query } from "./filters.js"
 * @typedef {{items: Item[], cursor: string | null, total: number, counts: import("./filters.js").Counts, revision: number, warning: string, facets: import("./filters.js").Facets, running: boolean}} Answer
 */

const PAGE = 120;
const AHEAD_PX = 1500;

/**
 * The cards on the page, in the queue's order, loaded page by page as far as somebody scrolls; sorted by garment, its
 * views stand in a frame of their own.
 */
export class Listing {
  /** @param {HTMLElement} place @param {Element} end stands behind the last card @param {Query} query @param {(answer: Answer) => void} arrived */
  constructor(place, end, query, arrived) {
    this.place = place;
    this.end = end;
    this.query = query;
    this.arrived = arrived;
    /** In the order of the page. @type {Item[]} */
    this.items = [];
    /** @type {Map<number, HTMLElement>} */
    this.cards = new Map();
    /** Where the next page begins. @type {string | null} */
    this.cursor = null;
    this.turn = 0;
    /** The first page, as it was last asked for. */
    this.loaded = Promise.resolve();
    this.observer = new IntersectionObserver(([entry]) => entry.isIntersecting && this.#next(), { rootMargin: `${AHEAD_PX}px` });
  }

  /** Show a first page. @param {Answer} answer */
  begin(answer) {
    this.turn++;
    this.items = [];
    this.cards.clear();
    this.place.classList.toggle("by-garment", this.query.isByGarment);
    this.place.replaceChildren();
    this.#show(answer);
  }

  /** Ask for the first page anew: the filters are others. */
  restart() {
    const turn = ++this.turn;
    this.observer.disconnect();
    this.loaded = this.#ask({}).then((answer) => {
      if (turn === this.turn) this.begin(answer);
    });
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
    return askJson(`/api/photos${this.query.search({ limit: String(PAGE), ...more })}`);
  }

  /** @param {Answer} answer */
  #show(answer) {
    this.cursor = answer.cursor;
    for (const item of answer.items) {
      if (this.cards.has(item.id)) this.#refill(item);
      else this.#insert(item, this.items.length);
    }
    this.arrived(answer);
    if (answer.cursor) this.observer.observe(this.end); // tells at once if the end is still in sight
  }

  /**
   * A photo changed, or is new. One that no longer matches stays where it is: a card that vanishes under the hand, or a
   * list that jumps, costs more than it tells.
   *
   * @param {Item} item
   */
  update(item) {
    if (this.cards.has(item.id)) return this.#refill(item);
    if (!this.query.takes(item)) return;
    const place = this.items.findIndex((other) => this.query.compare(item, other) < 0);
    if (place >= 0 || !this.cursor) this.#insert(item, place < 0 ? this.items.length : place);
  }

  /** @param {Item} item */
  #refill(item) {
    this.items[this.items.findIndex((other) => other.id === item.id)] = item;
    fillCard(/** @type {HTMLElement} */ (this.cards.get(item.id)), item);
  }

  /** @param {Item} item @param {number} index */
  #insert(item, index) {
    const card = makeCard(item, this.query.search());
    const [before, after] = [this.items[index - 1], this.items[index]];
    const [last, next] = [before, after].map((other) => other && this.cards.get(other.id));
    this.items.splice(index, 0, item);
    this.cards.set(item.id, card);
    if (!this.query.isByGarment) this.place.insertBefore(card, next ?? null);
    else if (before?.garment === item.garment && last) last.after(card);
    else if (after?.garment === item.garment && next) next.before(card);
    else this.place.insertBefore(groupOf(item, card), next?.closest(".group") ?? null);
  }
}

/** @param {Item} item @param {HTMLElement} card */
function groupOf(item, card) {
  const button = element("button", { type: "button", title: "Show this garment only", "data-garment": item.garment }, item.garment || item.name);
  return element("section.group", { "aria-label": item.garment }, element("h2", {}, button), card);
}

/** A photo in the queue. @param {Item} item @param {string} search the queue's filters @returns {HTMLElement} */
function makeCard(item, search) {
  const buttons = ["Reject", "Accept"].map((text) =>
    element("button", { type: "button", tabIndex: -1, title: `${text} (${text[0]})`, "data-action": text.toLowerCase() }, text),
  );
  const link = element("a", { href: `/photos/${item.id}${search}` });
  const card = element("article.card", { "data-id": item.id }, link, element("div.quick", { hidden: item.state === "failed" }, ...buttons));
  fillCard(card, item);
  return card;
}

/** Bring a card up to date. @param {HTMLElement} card @param {Item} item */
function fillCard(card, item) {
  card.className = `card ${item.state}`;
  const link = /** @type {HTMLAnchorElement} */ (card.querySelector("a"));
  const doubt = percentOf(item.doubt);
  link.ariaLabel = [item.name, viewName(item.view), STATES[item.state], doubt && `doubt ${doubt}`, ...item.reasons].filter(Boolean).join(", ");
  link.title = item.place;
  link.replaceChildren(pictureOf(item, link.querySelector("img")), linesOf(item));
}

/** @param {Item} item @param {HTMLImageElement | null} old kept if it shows the same: a new one would flicker */
function pictureOf(item, old) {
  if (item.state === "failed") return element("div.failure", {}, item.reason);
  if (old?.getAttribute("src") === item.urls.thumbnail) return old;
  return element("img", { loading: "lazy", decoding: "async", alt: "", width: 160, height: 214, src: item.urls.thumbnail });
}

/** What a card says; under a garment's name it is called by its view. @param {Item} item */
function linesOf(item) {
  const name = item.garment || item.name;
  const short = name.length > 16 ? `${name.slice(0, 8)}…${name.slice(-4)}` : name;
  const view = viewName(item.view);
  const words = item.note || item.reasons[0] || VERDICTS[item.verdict];
  const state = element("span", {}, element(`span.dot.${item.state}`), item.state === "open" && item.has_draft ? "Draft" : STATES[item.state]);
  const title = element("b", {}, element("span.name", {}, short), element("span.view", {}, view));
  const lines = [
    element("div", {}, title, element("span.figure", { title: "doubt" }, percentOf(item.doubt))),
    element("div.soft", {}, element("span.second", {}, view), state),
  ];
  if (words) lines.push(element("div.soft", {}, element("span.soft", {}, words)));
  if (item.doubt !== null) {
    const bar = element("span");
    bar.style.width = `${Math.round(item.doubt * 100)}%`;
    lines.push(element("div.meter", {}, bar));
  }
  return element("div.lines", {}, ...lines);
}
