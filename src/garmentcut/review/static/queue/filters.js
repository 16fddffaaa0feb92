import { byId, element } from "../page/elements.js";
import { stateName, verdictName, viewName } from "../page/words.js";

const STATES = /** @type {const} */ (["open", "accepted", "corrected", "rejected", "failed"]);
const TYPING_MS = 250;

/**
 * The row of filters: what it shows follows the query, what is chosen in it changes the query.
 */
export class Filters {
  /** @param {import("./query.js").Query} query @param {() => void} changed */
  constructor(query, changed) {
    this.query = query;
    this.changed = changed;
    this.form = /** @type {HTMLFormElement} */ (byId("filters"));
    this.garment = byId("garment-filter");
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("change", (event) => this.#take(event.target));
    this.form.addEventListener("input", (event) => this.#typed(event.target));
    byId("states").addEventListener("click", (event) => this.#chooseState(event.target));
    this.garment.addEventListener("click", () => this.choose("garment", ""));
    byId("show-all").addEventListener("click", () => this.#clear());
  }

  /** @param {string} key @param {string} value */
  choose(key, value) {
    if (this.query.get(key) === value) return;
    this.query.set(key, value);
    this.show();
    this.changed();
  }

  /** Write the query into the controls. */
  show() {
    for (const name of ["view", "verdict", "sort", "text"]) {
      const control = /** @type {HTMLInputElement} */ (this.form.elements.namedItem(name));
      if (document.activeElement !== control) control.value = this.query.get(name) || (name === "sort" ? "doubt" : "");
    }
    const garment = this.query.get("garment");
    this.garment.hidden = !garment;
    this.garment.textContent = `Garment ${garment} ×`;
  }

  /** @param {import("./pages.js").Counts} counts */
  showCounts(counts) {
    const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const chosen = this.query.get("state");
    const buttons = [["", "All", all], ...STATES.filter((state) => counts[state] || chosen === state).map((state) => [state, stateName(state), counts[state]])];
    byId("states").replaceChildren(...buttons.map(([state, text, count]) => stateButton(String(state), String(text), Number(count), chosen === state)));
  }

  /** @param {import("./pages.js").Facets} facets */
  showFacets(facets) {
    this.#fill("view", Object.keys(facets.view).map((view) => [view, viewName(view)]));
    this.#fill("verdict", ["review", "accept", "none"].filter((verdict) => verdict in facets.verdict).map((verdict) => [verdict, verdictName(/** @type {any} */ (verdict)) ?? "none"]));
  }

  /** @param {string} name @param {string[][]} choices */
  #fill(name, choices) {
    const select = /** @type {HTMLSelectElement} */ (this.form.elements.namedItem(name));
    if (select.options.length === choices.length + 1) return;
    select.replaceChildren(element("option", { value: "" }, "all"), ...choices.map(([value, text]) => element("option", { value }, text)));
    select.value = this.query.get(name);
  }

  /** @param {EventTarget | null} target */
  #chooseState(target) {
    const button = target instanceof Element && target.closest("button");
    if (button) this.choose("state", /** @type {HTMLElement} */ (button).dataset.state ?? "");
  }

  /** @param {EventTarget | null} target */
  #take(target) {
    const control = /** @type {HTMLInputElement} */ (target);
    this.choose(control.name, control.name === "sort" && control.value === "doubt" ? "" : control.value);
  }

  /** @param {EventTarget | null} target */
  #typed(target) {
    if (/** @type {HTMLInputElement} */ (target).name !== "text") return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#take(target), TYPING_MS);
  }

  #clear() {
    for (const key of ["state", "view", "verdict", "garment", "text"]) this.query.set(key, "");
    this.show();
    this.changed();
  }
}

/** @param {string} state @param {string} text @param {number} count @param {boolean} isChosen */
function stateButton(state, text, count, isChosen) {
  const button = element("button", { type: "button", "aria-pressed": String(isChosen) }, text, element("small", {}, String(count)));
  button.dataset.state = state;
  return button;
}
