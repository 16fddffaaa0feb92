/** What both pages are made of: elements, words, messages, keys and the help that lists them. */

/** The element with an id; a page without it is a mistake in its template. @template {Element} [T=HTMLElement] @param {string} id @returns {T} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {any} */ (found);
}

/**
 * Make an element.
 *
 * @param {string} tag `div`, or with classes `div.card.wide`
 * @param {Record<string, any>} [properties] set as properties; names with a hyphen as attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-")) made.setAttribute(key, String(value));
    else /** @type {any} */ (made)[key] = value;
  }
  made.append(...children);
  return made;
}

/** What the server wrote into the page for its script. @param {string} id of a `<script type="application/json">` */
export function dataOf(id) {
  return JSON.parse(byId(id).textContent ?? "null");
}

/** States of a photo, in the order of the page, and what they are called. @type {Record<string, string>} */
export const STATES = { open: "Open", accepted: "Accepted", corrected: "Corrected", rejected: "Rejected", failed: "Failed" };
/** Verdicts of the model. @type {Record<string, string>} */
export const VERDICTS = { review: "Please look", accept: "Model is sure", "": "" };

/** @param {string} view */
export function viewName(view) {
  return /** @type {Record<string, string>} */ ({ FrontRight: "Front right", unknown: "View unknown" })[view] ?? view;
}

/** Doubt in per cent, so that it can be compared at a glance; empty if the model cannot tell. @param {number | null} doubt */
export function percentOf(doubt) {
  return doubt === null ? "" : `${(doubt * 100).toFixed(doubt < 0.1 ? 1 : 0)} %`;
}

const SHOWN_MS = 5000;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/**
 * Show a message for some seconds and read it to those who do not see the screen.
 *
 * @param {string} text
 * @param {{urgent?: boolean, link?: {text: string, href: string}}} [more] urgent: stays until the next one
 */
export function announce(text, { urgent = false, link } = {}) {
  const place = byId("message");
  place.replaceChildren(text, ...(link ? [" ", element("a", { href: link.href }, link.text)] : []));
  place.classList.toggle("urgent", urgent);
  place.classList.add("shown");
  clearTimeout(timer);
  if (!urgent) timer = setTimeout(() => place.classList.remove("shown"), SHOWN_MS);
}

/** @typedef {{keys: string[], command: string, group: string, label: string, shown?: string[]}} Shortcut shown: key caps, where they are not those of the first key */

/**
 * How a key press is written in a table of shortcuts: `a`, `Shift+Z`, `Ctrl+z`, `[`, `Shift+[`, `ArrowLeft`, `?`.
 *
 * Brackets are taken by their place on the keyboard too: on many keyboards they need a second key.
 *
 * @param {KeyboardEvent} event
 */
function nameOf({ code, key, shiftKey, ctrlKey, metaKey }) {
  const bracket = /** @type {Record<string, string>} */ ({ BracketLeft: "[", BracketRight: "]" })[code];
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

/**
 * Run commands by key and by buttons with `data-command`, and write the table of shortcuts into the help.
 *
 * @param {Shortcut[]} shortcuts
 * @param {Record<string, (event: KeyboardEvent | MouseEvent) => void>} own commands of the page; all pages have `help`
 */
export function listen(shortcuts, own) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help"));
  /** @type {typeof own} */
  const commands = { ...own, help: () => dialog.showModal() };
  const byKey = new Map(shortcuts.flatMap(({ keys, command }) => keys.map((key) => [key, command])));
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || ownsKey(event) || document.querySelector("dialog[open]")) return;
    const command = commands[byKey.get(nameOf(event)) ?? ""];
    if (!command) return;
    event.preventDefault();
    command(event);
  });
  document.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("[data-command]");
    if (button instanceof HTMLElement) commands[button.dataset.command ?? ""]?.(event);
  });
  const groups = Map.groupBy(shortcuts, (shortcut) => shortcut.group);
  byId("help-keys").replaceChildren(
    ...[...groups].map(([group, members]) => element("section", {}, element("h3", {}, group), element("dl", {}, ...members.flatMap(helpOf)))),
  );
  byId("help-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "?") return; // the key that opened it
    event.preventDefault();
    dialog.close();
  });
}

/** A shortcut's line in the help; `Shift+[` becomes two key caps. @param {Shortcut} shortcut */
function helpOf({ keys, label, shown }) {
  const names = /** @type {Record<string, string>} */ ({ ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" });
  const caps = shown ?? keys[0].split(/\+(?=.)/).map((part) => names[part] ?? (part.length === 1 ? part.toUpperCase() : part));
  return [element("dt", {}, ...caps.map((cap) => element("kbd", {}, cap))), element("dd", {}, label)];
}
