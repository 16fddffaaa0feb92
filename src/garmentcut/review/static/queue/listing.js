import { byId, element, percentOf, STATES, VERDICTS, viewName } from "../page/page.js";
import { askJson } from "../page/server.js";

/**
 * @import { Item } from "../page/server.js"
 * @typedef {Record<Item["state"], number>} Counts of the whole batch
 * @typedef {{view: Record<string, number>, verdict: Record<string, number>, doubt: {known: number, none: number}}} Facets
 * @typedef {{items: Item[], cursor: string | null, total: number, counts: Counts, revision: number, warning: string, facets: Facets, running: boolean}} Answer
 */

const KEYS = ["state", "view", "verdict", "garment", "text", "sort"];
const TYPING_MS = 250;
const PAGE = 120;
const AHEAD_PX = 1500;

/** Filters and order, as in the page's address. */
export class Query {
  /** @param {string} search `?…` or empty */
  constructor(search) {
    const given = new URLSearchParams(search);
    this.values = new URLSearchParams([...given].filter(([key, value]) => KEYS.includes(key) && value));
  }

  get(key) {
    return this.values.get(key) ?? "";
  }

  /** @param {string} key @param {string} value empty: no filter */
  set(key, value) {
    if (value) this.values.set(key, value);
    else this.values.delete(key);
  }

  /** The query as part of an address: `?…`, or empty. @param {Record<string, string>} [more] */
  search(more = {}) {
    const text = new URLSearchParams([...this.values, ...Object.entries(more)]).toString();
    return text ? `?${text}` : "";
  }

  /** True if it leaves out photos that are still to be decided. */
  get isNarrow() {
    return KEYS.some((key) => key !== "sort" && this.get(key) && !(key === "state" && this.get(key) === "open"));
  }

  get isByGarment() {
    return this.get("sort") === "name";
  }

  /** True if a photo matches, as on the server; for photos that arrive later. @param {Item} item */
  takes(item) {
    const [text, ...places] = [this.get("text"), item.place, item.note].map((words) => words.normalize().toLowerCase());
    if (!places.some((place) => place.includes(text))) return false;
    const { state, view, garment } = item;
    return Object.entries({ state, view, garment, verdict: item.verdict || "none" }).every(([key, value]) => {
      const wanted = this.values.getAll(key);
      return !wanted.length || wanted.includes(value);
    });
  }

  /** Negative if `one` comes before `other`. @param {Item} one @param {Item} other */
  compare(one, other) {
    const byPlace = one.place < other.place ? -1 : Number(one.place > other.place);
    return this.isByGarment ? byPlace : rankOf(other) - rankOf(one) || byPlace;
  }
}

/** Sort key: highest for the most doubtful, lower without a doubt, lowest for failed photos. @param {Item} item */
function rankOf(item) {
  return item.state === "failed" ? -2 : (item.doubt ?? -1);
}

/** The row of filters, which shows the query and changes it. */
export class Filters {
  /** @param {Query} query @param {() => void} changed @param {() => void} entered called on Enter in the search */
  constructor(query, changed, entered) {
    this.query = query;
    this.changed = changed;
    this.form = byId("filters");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(this.timer);
      this.choose({ text: this.#control("text").value });
      entered();
    });
    this.form.addEventListener("change", (event) => this.#take(event));
    this.form.addEventListener("input", (event) => this.#typed(event));
    byId("states").addEventListener("click", ({ target }) => {
      const button = target instanceof Element && target.closest("button");
      if (button) this.choose({ state: button.dataset.state ?? "" });
    });
    byId("garment-filter").addEventListener("click", () => this.choose({ garment: "" }));
    byId("show-all").addEventListener("click", () => this.choose({ state: "", view: "", verdict: "", garment: "", text: "" }));
    this.#show();
  }

  /** @param {Record<string, string>} values by the query's keys */
  choose(values) {
    const others = Object.entries(values).filter(([key, value]) => this.query.get(key) !== value);
    if (!others.length) return;
    for (const [key, value] of others) this.query.set(key, value);
    this.#show();
    this.changed();
  }

  /** Show the query in the controls. */
  #show() {
    for (const name of ["view", "verdict", "sort", "text"]) {
      const control = this.#control(name);
      if (document.activeElement !== control) control.value = this.query.get(name) || (name === "sort" ? "doubt" : "");
    }
    const garment = this.query.get("garment");
    byId("garment-filter").hidden = !garment;
    byId("garment-filter").textContent = `Garment ${garment} ×`;
  }

  showCounts(counts) {
    const chosen = this.query.get("state");
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const states = Object.entries(STATES).map(([state, text]) => ({ state, text, count: counts[state] }));
    const shown = [{ state: "", text: "All", count: all }, ...states.filter(({ state, count }) => count || chosen === state)];
    const buttons = shown.map(({ state, text, count }) => {
      const pressed = { type: "button", "aria-pressed": chosen === state, "data-state": state };
      return element("button", pressed, text, element("small", {}, String(count)));
    });
    byId("states").replaceChildren(...buttons);
  }

  showFacets({ view, verdict }) {
    this.#fill("view", Object.keys(view).map((name) => [name, viewName(name)]));
    const names = { ...VERDICTS, none: "none" };
    this.#fill("verdict", Object.entries(names).filter(([name]) => name in verdict));
  }

  #fill(name, choices) {
    const select = this.#control(name);
    if (select.options.length === choices.length + 1) return;
    select.replaceChildren(element("option", { value: "" }, "all"), ...choices.map(([value, text]) => element("option", { value }, text)));
    select.value = this.query.get(name);
  }

  #control(name) {
    return this.form.elements.namedItem(name);
  }

  #take({ target }) {
    const { name, value } = target;
    this.choose({ [name]: name === "sort" && value === "doubt" ? "" : value });
  }

  #typed(event) {
    if (event.target !== this.#control("text")) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#take(event), TYPING_MS);
  }
}

/**
 * The cards on the page, in the queue's order, loaded page by page on scrolling; if sorted by garment, a garment's views
 * are framed together.
 */
export class Listing {
  /** @param {HTMLElement} place @param {Element} end element after the last card @param {Query} query @param {(answer: Answer) => void} arrived */
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
    /** The last request for the first page. */
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

  /** Load the first page again, because the filters have changed. */
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

  #ask(more) {
    return askJson(`/api/photos${this.query.search({ limit: String(PAGE), ...more })}`);
  }

  #show(answer) {
    this.cursor = answer.cursor;
    for (const item of answer.items) {
      if (this.cards.has(item.id)) this.#refill(item);
      else this.#insert(item, this.items.length);
    }
    this.arrived(answer);
    if (answer.cursor) this.observer.observe(this.end); // reports at once if the end is still visible
  }

  /**
   * A photo changed or is new. One that no longer matches the filters stays, because cards that vanish or move under the
   * pointer are more disturbing than useful.
   */
  update(item) {
    if (this.cards.has(item.id)) return this.#refill(item);
    if (!this.query.takes(item)) return;
    const place = this.items.findIndex((other) => this.query.compare(item, other) < 0);
    if (place >= 0 || !this.cursor) this.#insert(item, place < 0 ? this.items.length : place);
  }

  #refill(item) {
    this.items[this.items.findIndex((other) => other.id === item.id)] = item;
    fillCard(this.cards.get(item.id), item);
  }

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

/** Update a card. @param {HTMLElement} card @param {Item} item */
function fillCard(card, item) {
  card.className = `card ${item.state}`;
  const link = card.querySelector("a");
  const doubt = percentOf(item.doubt);
  link.ariaLabel = [item.name, viewName(item.view), STATES[item.state], doubt && `doubt ${doubt}`, ...item.reasons].filter(Boolean).join(", ");
  link.title = item.place;
  link.replaceChildren(pictureOf(item, link.querySelector("img")), linesOf(item));
}

/** @param {Item} item @param {HTMLImageElement | null} old kept if it shows the same, because a new one would flicker */
function pictureOf(item, old) {
  if (item.state === "failed") return element("div.failure", {}, item.reason);
  if (old?.getAttribute("src") === item.urls.thumbnail) return old;
  return element("img", { loading: "lazy", decoding: "async", alt: "", width: 160, height: 214, src: item.urls.thumbnail });
}

/** The text of a card; below a garment's name, its title is the view. @param {Item} item */
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
