/** @typedef {import("./server.js").Item} Item */

const STATES = /** @type {const} */ ({
  open: "Open",
  accepted: "Accepted",
  corrected: "Corrected",
  rejected: "Rejected",
  failed: "Failed",
});
const VIEWS = /** @type {Record<string, string>} */ ({ FrontRight: "Front right", unknown: "View unknown" });
const VERDICTS = { accept: "Model is sure", review: "Please look", "": "" };

/** @param {Item["state"]} state */
export function stateName(state) {
  return STATES[state];
}

/** @param {string} view */
export function viewName(view) {
  return VIEWS[view] ?? view;
}

/** @param {Item["verdict"]} verdict */
export function verdictName(verdict) {
  return VERDICTS[verdict];
}

/** Doubt in per cent, so that it can be compared at a glance; empty if the model cannot tell. @param {number | null} doubt */
export function doubtText(doubt) {
  return doubt === null ? "" : `doubt ${(doubt * 100).toFixed(doubt < 0.1 ? 1 : 0)} %`;
}

/** What a card calls its photo: the view stands below. @param {Item} item */
export function shortName(item) {
  const name = item.garment || item.name;
  return name.length > 16 ? `${name.slice(0, 8)}…${name.slice(-4)}` : name;
}
