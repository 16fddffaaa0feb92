/**
 * Moving over the cards by arrow keys.
 */

/** The card that has the focus, or null. @returns {HTMLElement | null} */
export function focusedCard() {
  return document.activeElement?.closest(".card") ?? null;
}

/** @param {HTMLElement} card */
export function focusCard(card) {
  const link = /** @type {HTMLElement} */ (card.querySelector("a"));
  link.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

/**
 * Go to another card; without a focus, to the first.
 *
 * @param {"ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown"} key
 */
export function walk(key) {
  const cards = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".card")]);
  const here = focusedCard();
  if (!here) return cards[0] && focusCard(cards[0]);
  const place = cards.indexOf(here);
  const step = { ArrowLeft: -1, ArrowRight: 1 }[/** @type {"ArrowLeft"} */ (key)];
  const next = step ? cards[place + step] : inNextRow(cards, here, key === "ArrowDown" ? 1 : -1);
  if (next) focusCard(next);
}

/** The card nearest below or above. @param {HTMLElement[]} cards @param {HTMLElement} here @param {1 | -1} direction */
function inNextRow(cards, here, direction) {
  const from = here.getBoundingClientRect();
  const rows = cards.map((card) => ({ card, box: card.getBoundingClientRect() })).filter(({ box }) => direction * (box.top - from.top) > 4);
  const nearest = Math.min(...rows.map(({ box }) => direction * (box.top - from.top)));
  const row = rows.filter(({ box }) => direction * (box.top - from.top) < nearest + 4);
  row.sort((one, other) => Math.abs(one.box.left - from.left) - Math.abs(other.box.left - from.left));
  return row[0]?.card;
}
