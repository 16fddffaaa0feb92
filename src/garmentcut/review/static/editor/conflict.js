import { byId } from "../page/elements.js";

/**
 * Tell that somebody else has stored another version, and let the person choose. Nothing is stored either way.
 *
 * @param {string} message the server's words
 * @returns {Promise<"theirs" | "mine">}
 */
export function chooseVersion(message) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("conflict"));
  byId("conflict-message").textContent = message;
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    const finish = (/** @type {"theirs" | "mine"} */ choice) => (dialog.close(), resolve(choice));
    byId("conflict-theirs").onclick = () => finish("theirs");
    byId("conflict-mine").onclick = () => finish("mine");
    dialog.oncancel = (event) => event.preventDefault(); // Escape is no answer
  });
}
