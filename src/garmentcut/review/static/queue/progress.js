import { byId, element } from "../page/elements.js";
import { stateName } from "../page/words.js";

const DONE = /** @type {const} */ (["accepted", "corrected", "rejected", "failed"]);

/**
 * How far the batch is.
 *
 * @param {import("./pages.js").Counts} counts
 * @param {boolean} knowsDoubt photos stand by doubt; else by name
 */
export function showProgress(counts, knowsDoubt) {
  const all = counts.open + DONE.reduce((sum, state) => sum + counts[state], 0);
  const bar = byId("progress-bar");
  const parts = DONE.map((state) => partOf(state, counts[state]));
  bar.replaceChildren(...parts, partOf("open", counts.open));
  const decided = all - counts.open - counts.failed;
  const text = [`${decided} of ${all - counts.failed} decided`, ...DONE.filter((state) => counts[state]).map((state) => `${counts[state]} ${stateName(state).toLowerCase()}`)];
  byId("progress-text").textContent = text.join(" · ");
  bar.setAttribute("aria-label", text.join(", "));
  const start = byId("start");
  start.hidden = counts.open === 0;
  start.textContent = decided ? `Go on with ${counts.open} open` : `Start with the ${knowsDoubt ? "most doubtful" : "first"} of ${counts.open}`;
}

/** @param {string} state @param {number} count */
function partOf(state, count) {
  const part = element(`span.${state}`, { hidden: count === 0 });
  part.style.flex = `${count} 1 0`;
  return part;
}
