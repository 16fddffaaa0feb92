/**
 * @typedef {import("../page/server.js").Item} Item
 */

const KEYS = ["state", "view", "verdict", "garment", "text", "sort"];

/**
 * Filters and order, as they stand in the page's address.
 */
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

  /** As it is written into addresses. */
  get search() {
    const text = this.values.toString();
    return text ? `?${text}` : "";
  }

  /** @param {Record<string, string>} more */
  searchWith(more) {
    return `?${new URLSearchParams([...this.values, ...Object.entries(more)])}`;
  }

  get isByGarment() {
    return this.get("sort") === "name";
  }

  /** True if a photo belongs into the list: what the server does, for photos that come in later. @param {Item} item */
  takes(item) {
    const isIn = (/** @type {string} */ key, /** @type {string} */ value) => {
      const wanted = this.values.getAll(key);
      return !wanted.length || wanted.includes(value);
    };
    const text = this.get("text").toLowerCase();
    const isFound = !text || item.place.toLowerCase().includes(text) || item.note.toLowerCase().includes(text);
    return isFound && isIn("state", item.state) && isIn("view", item.view) && isIn("verdict", item.verdict || "none") && isIn("garment", item.garment);
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
