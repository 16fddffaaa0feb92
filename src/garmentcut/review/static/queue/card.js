import { element } from "../page/elements.js";
import { doubtText, shortName, stateName, verdictName, viewName } from "../page/words.js";

/** @typedef {import("../page/server.js").Item} Item */

/**
 * A photo in the queue.
 *
 * @param {Item} item
 * @param {string} search the queue's filters
 * @returns {HTMLElement}
 */
export function makeCard(item, search) {
  const card = element("article.card");
  card.dataset.id = String(item.id);
  card.append(element("a", { href: `/photos/${item.id}${search}` }), quickButtons(item));
  fillCard(card, item);
  return card;
}

/**
 * Bring a card up to date.
 *
 * @param {HTMLElement} card
 * @param {Item} item
 */
export function fillCard(card, item) {
  card.className = `card ${item.state}`;
  const link = /** @type {HTMLAnchorElement} */ (card.querySelector("a"));
  link.setAttribute("aria-label", labelOf(item));
  link.title = item.place;
  link.replaceChildren(pictureOf(item, link.querySelector("img")), linesOf(item));
}

/** @param {Item} item @param {HTMLImageElement | null} old kept if it shows the same: a new one would flicker */
function pictureOf(item, old) {
  if (item.state === "failed") return element("div.failure", {}, item.reason);
  if (old?.getAttribute("src") === item.urls.thumbnail) return old;
  return element("img", { loading: "lazy", decoding: "async", alt: "", width: 160, height: 214, src: item.urls.thumbnail });
}

/** @param {Item} item */
function linesOf(item) {
  const state = element("span", {}, element(`span.dot.${item.state}`), item.has_draft ? "Draft" : stateName(item.state));
  const figure = doubtText(item.doubt).replace("doubt ", "");
  const words = item.note || item.reasons[0] || verdictName(item.verdict);
  return element(
    "div.lines",
    {},
    element("div", {}, nameOf(item), element("span.figure", { title: "doubt" }, figure)),
    element("div.soft", {}, element("span.second", {}, viewName(item.view)), state),
    ...(words ? [element("div.soft", {}, element("span.soft", {}, words))] : []),
    ...(item.doubt === null ? [] : [meterOf(item.doubt)]),
  );
}

/** @param {Item} item */
function nameOf(item) {
  return element("b", {}, element("span.name", {}, shortName(item)), element("span.view", {}, viewName(item.view)));
}

/** @param {number} doubt */
function meterOf(doubt) {
  const bar = element("span");
  bar.style.width = `${Math.round(doubt * 100)}%`;
  return element("div.meter", {}, bar);
}

/** @param {Item} item */
function quickButtons(item) {
  const button = (/** @type {string} */ action, /** @type {string} */ text) => {
    const made = element("button", { type: "button", tabIndex: -1, title: `${text} (${text[0]})` }, text);
    made.dataset.action = action;
    return made;
  };
  return element("div.quick", { hidden: item.state === "failed" }, button("reject", "Reject"), button("accept", "Accept"));
}

/** What a screen reader says of it. @param {Item} item */
function labelOf(item) {
  return [item.name, viewName(item.view), stateName(item.state), doubtText(item.doubt), ...item.reasons].filter(Boolean).join(", ");
}
