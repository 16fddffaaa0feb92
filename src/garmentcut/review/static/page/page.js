/** What both pages share: elements, names, messages, shortcuts, and the help that lists them. */

/** The element with an id, which the page's template must have. @returns {any} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Make an element: `div`, or with classes `div.card.wide`; properties whose name has a hyphen are set as attributes. @returns {HTMLElement} */
export function element(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-")) made.setAttribute(key, String(value));
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** The data that the server put into the page for its script. @param {string} id of a `<script type="application/json">` */
export function dataOf(id) {
  return JSON.parse(byId(id).textContent ?? "null");
}

/** States of a photo, in the order of the page, and their names. @type {Record<string, string>} */
export const STATES = { open: "Open", accepted: "Accepted", corrected: "Corrected", rejected: "Rejected", failed: "Failed" };
/** Verdicts of the model. @type {Record<string, string>} */
export const VERDICTS = { review: "Please check", accept: "Model is sure", "": "" };

/** @param {string} view */
export function viewName(view) {
  return { FrontRight: "Front right", unknown: "View unknown" }[view] ?? view;
}

/** Doubt in per cent, so that it can be compared at a glance; empty if the model cannot tell. @param {number | null} doubt */
export function percentOf(doubt) {
  return doubt === null ? "" : `${(doubt * 100).toFixed(doubt < 0.1 ? 1 : 0)} %`;
}

const SHOWN_MS = 5000;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Show a message for some seconds or, if it is urgent, until the next one; screen readers read it. */
export function announce(text, { urgent = false, link } = {}) {
  const place = byId("message");
  place.replaceChildren(text, ...(link ? [" ", element("a", { href: link.href }, link.text)] : []));
  place.classList.toggle("urgent", urgent);
  place.classList.add("shown");
  clearTimeout(timer);
  if (!urgent) timer = setTimeout(() => place.classList.remove("shown"), SHOWN_MS);
}

/**
 * Commands of a page, by group of the help and by name. `keys` run one, as do buttons with its name as `data-command`; `shown`
 * are its key caps in the help, where they are not those of the first key; without `run` it is only shown.
 *
 * @typedef {{keys?: string[], shown?: string[], label: string, run?: (event: KeyboardEvent | MouseEvent) => void}} Command
 * @typedef {Record<string, Record<string, Command>>} Commands
 */

/**
 * How a key press is written in a table of shortcuts: `a`, `Shift+Z`, `Ctrl+z`, `[`, `Shift+[`, `ArrowLeft`, `?`.
 *
 * Brackets are also recognised by their position, because many keyboards need a second key for them.
 */
function nameOf({ code, key, shiftKey, ctrlKey, metaKey }) {
  const bracket = { BracketLeft: "[", BracketRight: "]" }[code];
  const isLetter = /^\p{L}$/u.test(key);
  const shift = shiftKey && (bracket || isLetter || key.length > 1) ? "Shift+" : "";
  return `${ctrlKey || metaKey ? "Ctrl+" : ""}${shift}${bracket ?? (isLetter ? key.toLowerCase() : key)}`;
}

/** True for keys that the focused control needs itself: letters in a text, Enter on a link, arrows on a slider. @param {KeyboardEvent} event */
function ownsKey({ key, target }) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.matches("textarea, select, input:not([type=range], [type=checkbox], [type=button], [type=color])")) return true;
  if (key === "Enter") return target.matches("a, button, summary, [type=color]");
  if (key === " ") return target.matches("button, summary, [type=color], [type=checkbox]");
  return key.startsWith("Arrow") && target.matches("input");
}

/** Run commands by key and by button, and list them in the help. @param {Commands} groups @param {Record<string, () => void>} [others] that only buttons have */
export function listen(groups, others = {}) {
  const dialog = byId("help");
  const commands = Object.values(groups).flatMap(Object.entries);
  const runs = { ...others, ...Object.fromEntries(commands.map(([name, { run }]) => [name, run])), help: () => dialog.showModal() };
  const byKey = Object.fromEntries(commands.flatMap(([name, { keys = [] }]) => keys.map((key) => [key, name])));
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || ownsKey(event) || document.querySelector("dialog[open]")) return;
    const run = runs[byKey[nameOf(event)]];
    if (!run) return;
    event.preventDefault();
    run(event);
  });
  document.addEventListener("click", (event) => runs[event.target.closest("[data-command]")?.dataset.command]?.(event));
  byId("help-keys").replaceChildren(
    ...Object.entries(groups).map(([group, members]) => element("section", {}, element("h3", {}, group), element("dl", {}, ...Object.values(members).flatMap(helpOf)))),
  );
  byId("help-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "?") return; // the key that opened it
    event.preventDefault();
    dialog.close();
  });
}

/** A command's line in the help; `Shift+[` becomes two key caps. @param {Command} command */
function helpOf({ keys, label, shown }) {
  const names = { ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };
  const caps = shown ?? keys[0].split(/\+(?=.)/).map((part) => names[part] ?? (part.length === 1 ? part.toUpperCase() : part));
  return [element("dt", {}, ...caps.map((cap) => element("kbd", {}, cap))), element("dd", {}, label)];
}
