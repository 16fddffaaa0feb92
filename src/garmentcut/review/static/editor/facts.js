import { byId, element } from "../page/elements.js";
import { doubtText, stateName, verdictName, viewName } from "../page/words.js";

/**
 * @typedef {import("../page/server.js").Item} Item
 * @typedef {import("../page/server.js").PlacedItem} PlacedItem
 */

/**
 * Write what is known about a photo beside it.
 *
 * @param {PlacedItem} item
 * @param {boolean} isChanged there are strokes that are not stored
 */
export function showFacts(item, isChanged) {
  document.title = `${item.name} · garmentcut`;
  byId("photo-name").textContent = item.name;
  byId("photo-name").title = item.place;
  byId("photo-view").textContent = viewName(item.view);
  showState(item, isChanged);
  byId("photo-doubt").textContent = [verdictName(item.verdict), doubtText(item.doubt)].filter(Boolean).join(" · ");
  const bar = byId("doubt-bar");
  bar.hidden = item.doubt === null;
  /** @type {HTMLMeterElement} */ (bar).value = item.doubt ?? 0;
  byId("photo-reasons").replaceChildren(...item.reasons.map((reason) => element("li", {}, reason)));
  byId("position").textContent = `${item.position} of ${item.total}`;
  const heat = /** @type {HTMLButtonElement} */ (byId("heat-button"));
  heat.disabled = item.urls.heat === null;
  heat.title = heat.disabled ? "The model drew no map of its doubt" : "Where the model doubts (H)";
  const failure = byId("failure");
  failure.hidden = item.urls.alpha !== null;
  failure.textContent = item.urls.alpha === null ? `This photo could not be cut. ${item.reason}` : "";
}

/** @param {PlacedItem} item @param {boolean} isChanged */
function showState(item, isChanged) {
  const state = byId("photo-state");
  const shown = isChanged ? "changed" : item.state;
  state.className = `state ${shown}`;
  state.textContent = isChanged ? "Changed, not stored" : item.state === "open" && item.has_draft ? "Open, with draft" : stateName(item.state);
}

/**
 * The garment's other views beside it.
 *
 * @param {PlacedItem} item
 * @param {string} query the queue's filters
 */
export function showSiblings(item, query) {
  const views = item.siblings.length > 1 ? item.siblings : [];
  byId("siblings-section").hidden = !views.length;
  byId("siblings").replaceChildren(...views.map((sibling) => linkTo(sibling, query, sibling.id === item.id)));
}

/** @param {Item} sibling @param {string} query @param {boolean} isHere */
function linkTo(sibling, query, isHere) {
  const isCut = sibling.urls.alpha !== null;
  const picture = isCut ? element("img", { src: sibling.urls.thumbnail, alt: "", decoding: "async" }) : element("div.missing");
  const state = element(`span.dot.${sibling.state}`, { title: stateName(sibling.state) });
  const link = element("a", { href: `/photos/${sibling.id}${query}` }, picture, element("span", {}, state, viewName(sibling.view)));
  link.dataset.id = String(sibling.id);
  link.setAttribute("aria-label", `${viewName(sibling.view)}, ${stateName(sibling.state)}`);
  if (isHere) link.setAttribute("aria-current", "true");
  return element("li", {}, link);
}
