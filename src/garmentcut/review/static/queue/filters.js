import { byId, element, STATES, VERDICTS, viewName } from "../page/page.js";

/**
 * @import { Item } from "../page/server.js"
 * @typedef {Record<Item["state"], number>} Counts of the whole batch
 * @typedef {{view: Record<string, number>, verdict: Record<string, number>, doubt: {known: number, none: number}}} Facets
 */

const KEYS = ["state", "view", "verdict", "garment", "text", "sort"];
const TYPING_MS = 250;

/** Filters and order, as they stand in the page's address. */
export class Query {
  /** @param {string} search `?…` or empty */
  constructor(search) {
    const given = new URLSearchParams(search);
    this.values = new URLSearchParams([...given].filter(([key, value]) => KEYS.includes(key) && value));
  }

  /** @param {string} key */
  get(key) {
    return this.values.get(key) ?? "";
  }

  /** @param {string} key @param {string} value empty: no filter */
  set(key, value) {
    if (value) this.values.set(key, value);
    else this.values.delete(key);
  }

  /** As it is written into addresses: `?…`, or empty. @param {Record<string, string>} [more] */
  search(more = {}) {
    const text = new URLSearchParams([...this.values, ...Object.entries(more)]).toString();
    return text ? `?${text}` : "";
  }

  /** True if it leaves out photos that are to be decided on. */
  get isNarrow() {
    return KEYS.some((key) => key !== "sort" && this.get(key) && !(key === "state" && this.get(key) === "open"));
  }

  get isByGarment() {
    return this.get("sort") === "name";
  }

  /** True if a photo belongs into the list: what the server does, for photos that come in later. @param {Item} item */
  takes(item) {
    const text = this.get("text").toLowerCase();
    if (!item.place.toLowerCase().includes(text) && !item.note.toLowerCase().includes(text)) return false;
    const { state, view, garment } = item;
    return Object.entries({ state, view, garment, verdict: item.verdict || "none" }).every(([key, value]) => {
      const wanted = this.values.getAll(key);
      return !wanted.length || wanted.includes(value);
    });
  }

  /** Negative if `one` stands before `other`. @param {Item} one @param {Item} other */
  compare(one, other) {
    const byPlace = one.place < other.place ? -1 : Number(one.place > other.place);
    return this.isByGarment ? byPlace : rankOf(other) - rankOf(one) || byPlace;
  }
}

/** The most doubtful highest, those without a doubt below, failed ones lowest. @param {Item} item */
function rankOf(item) {
  return item.state === "failed" ? -2 : (item.doubt ?? -1);
}

/** The row of filters: what it shows follows the query, what is chosen in it changes the query. */
export class Filters {
  /** @param {Query} query @param {() => void} changed @param {() => void} entered with Enter in the search */
  constructor(query, changed, entered) {
    this.query = query;
    this.changed = changed;
    this.form = /** @type {HTMLFormElement} */ (byId("filters"));
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

  /** Write the query into the controls. */
  #show() {
    for (const name of ["view", "verdict", "sort", "text"]) {
      const control = this.#control(name);
      if (document.activeElement !== control) control.value = this.query.get(name) || (name === "sort" ? "doubt" : "");
    }
    const garment = this.query.get("garment");
    byId("garment-filter").hidden = !garment;
    byId("garment-filter").textContent = `Garment ${garment} ×`;
  }

  /** @param {Counts} counts */
  showCounts(counts) {
    const chosen = this.query.get("state");
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const states = Object.entries(STATES).map(([state, text]) => ({ state, text, count: counts[/** @type {Item["state"]} */ (state)] }));
    const shown = [{ state: "", text: "All", count: all }, ...states.filter(({ state, count }) => count || chosen === state)];
    const buttons = shown.map(({ state, text, count }) => {
      const pressed = { type: "button", "aria-pressed": chosen === state, "data-state": state };
      return element("button", pressed, text, element("small", {}, String(count)));
    });
    byId("states").replaceChildren(...buttons);
  }

  /** @param {Facets} facets */
  showFacets({ view, verdict }) {
    this.#fill("view", Object.keys(view).map((name) => [name, viewName(name)]));
    const names = { ...VERDICTS, none: "none" };
    this.#fill("verdict", Object.entries(names).filter(([name]) => name in verdict));
  }

  /** @param {string} name @param {string[][]} choices */
  #fill(name, choices) {
    const select = /** @type {HTMLSelectElement} */ (/** @type {unknown} */ (this.#control(name)));
    if (select.options.length === choices.length + 1) return;
    select.replaceChildren(element("option", { value: "" }, "all"), ...choices.map(([value, text]) => element("option", { value }, text)));
    select.value = this.query.get(name);
  }

  /** @param {string} name */
  #control(name) {
    return /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
  }

  /** @param {Event} event */
  #take({ target }) {
    const { name, value } = /** @type {HTMLInputElement} */ (target);
    this.choose({ [name]: name === "sort" && value === "doubt" ? "" : value });
  }

  /** @param {Event} event */
  #typed(event) {
    if (event.target !== this.#control("text")) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#take(event), TYPING_MS);
  }
}
