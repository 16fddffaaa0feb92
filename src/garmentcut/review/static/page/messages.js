import { element } from "./elements.js";

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
  const place = document.getElementById("message");
  if (!place) return;
  place.replaceChildren(text, ...(link ? [" ", element("a", { href: link.href }, link.text)] : []));
  place.classList.toggle("urgent", urgent);
  place.classList.add("shown");
  clearTimeout(timer);
  if (!urgent) timer = setTimeout(() => place.classList.remove("shown"), SHOWN_MS);
}
