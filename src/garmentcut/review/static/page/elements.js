/**
 * The element with an id; a page without it is a mistake in its template.
 *
 * @template {Element} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
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
    if (key.includes("-") || key === "role") made.setAttribute(key, String(value));
    else /** @type {any} */ (made)[key] = value;
  }
  made.append(...children);
  return made;
}

/**
 * What the server wrote into the page for its script.
 *
 * @param {string} id of a `<script type="application/json">`
 */
export function dataOf(id) {
  return JSON.parse(byId(id).textContent ?? "null");
}
