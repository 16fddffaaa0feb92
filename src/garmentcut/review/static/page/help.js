import { byId, element } from "./elements.js";
import { capsOf } from "./keyboard.js";

/** @typedef {import("./keyboard.js").Shortcut} Shortcut */

/**
 * Write the table of shortcuts into the help dialog: the same table that the keyboard obeys.
 *
 * @param {Shortcut[]} shortcuts
 */
export function fillHelp(shortcuts) {
  const groups = Map.groupBy(shortcuts, (shortcut) => shortcut.group);
  byId("help-keys").replaceChildren(
    ...[...groups].map(([group, members]) => element("section", {}, element("h3", {}, group), element("dl", {}, ...members.flatMap(lines)))),
  );
}

/** Open the help, or close it. */
export function toggleHelp() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help"));
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

/** Close the help with the key that opened it. */
export function watchHelp() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help"));
  dialog.addEventListener("keydown", (event) => {
    if (event.key !== "?") return;
    event.preventDefault();
    dialog.close();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

/** @param {Shortcut} shortcut */
function lines({ keys, label, shown }) {
  const caps = shown ?? capsOf(keys[0]);
  return [element("dt", {}, ...caps.map((cap) => element("kbd", {}, cap))), element("dd", {}, label)];
}
