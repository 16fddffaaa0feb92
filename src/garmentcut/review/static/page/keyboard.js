/** @typedef {{keys: string[], command: string, group: string, label: string, shown?: string[]}} Shortcut shown: key caps, where they are not those of the first key */

const BRACKETS = /** @type {Record<string, string>} */ ({ BracketLeft: "[", BracketRight: "]" });

/**
 * How a key press is written in a table of shortcuts: `a`, `Shift+Z`, `Ctrl+z`, `[`, `Shift+[`, `ArrowLeft`, `?`.
 *
 * Brackets are taken by their place on the keyboard too: on many keyboards they need a second key.
 *
 * @param {KeyboardEvent} event
 */
export function nameOf(event) {
  const bracket = BRACKETS[event.code];
  const control = event.ctrlKey || event.metaKey ? "Ctrl+" : "";
  if (bracket) return `${control}${event.shiftKey ? "Shift+" : ""}${bracket}`;
  const isLetter = /^\p{L}$/u.test(event.key);
  if (isLetter) return `${control}${event.shiftKey ? "Shift+" : ""}${event.key.toLowerCase()}`;
  return `${control}${event.shiftKey && event.key.length > 1 ? "Shift+" : ""}${event.key}`;
}

/** True where letters are meant as text, not as commands. @param {EventTarget | null} target */
function takesText(target) {
  return target instanceof HTMLElement && target.matches("textarea, select, input:not([type=range], [type=checkbox], [type=button])");
}

/**
 * Run commands by key.
 *
 * @param {Shortcut[]} shortcuts
 * @param {Record<string, (event: KeyboardEvent) => void>} commands
 */
export function listen(shortcuts, commands) {
  const byKey = new Map(shortcuts.flatMap(({ keys, command }) => keys.map((key) => [key, command])));
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || takesText(event.target) || document.querySelector("dialog[open]")) return;
    if (ownsKey(event)) return;
    const command = commands[byKey.get(nameOf(event)) ?? ""];
    if (!command) return;
    event.preventDefault();
    command(event);
  });
}

/** True for keys that the focused control needs itself: Enter on a link, arrows on a slider. @param {KeyboardEvent} event */
function ownsKey(event) {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (event.key === "Enter") return target.matches("a, button, summary");
  if (event.key === " ") return target.matches("button, summary, input[type=checkbox]");
  return event.key.startsWith("Arrow") && target.matches("input");
}

/**
 * Shortcuts as they are shown: `Shift+[` becomes two key caps.
 *
 * @param {string} key
 * @returns {string[]}
 */
export function capsOf(key) {
  const names = /** @type {Record<string, string>} */ ({ ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "Space", Escape: "Esc" });
  const parts = key === "+" ? ["+"] : key.split(/\+(?=.)/);
  return parts.map((part) => names[part] ?? (part.length === 1 ? part.toUpperCase() : part));
}
