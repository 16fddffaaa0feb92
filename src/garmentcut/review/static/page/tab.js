/**
 * Which of this browser's tabs this is, so that two tabs on one photo do not take each other's strokes.
 */

const KEY = "garmentcut-tab";

/** @type {Promise<string> | null} */
let naming = null;

/** The tab's own name: the same after a reload, another in a copy of the tab. */
export function tabName() {
  naming ??= claim(sessionStorage.getItem(KEY) ?? fresh());
  return naming;
}

/**
 * True if a tab of that name is open. Where the browser cannot tell (plain http from another machine): false.
 *
 * @param {string} name
 */
export async function isAlive(name) {
  if (!navigator.locks) return false;
  return navigator.locks.request(lockOf(name), { ifAvailable: true }, async (lock) => lock === null);
}

/** @param {string} name @returns {Promise<string>} */
async function claim(name) {
  if (navigator.locks && !(await hold(name))) return claim(fresh());
  sessionStorage.setItem(KEY, name);
  return name;
}

/** Hold a name until the tab is closed. @param {string} name @returns {Promise<boolean>} false if another holds it */
function hold(name) {
  return new Promise((resolve) => {
    navigator.locks.request(lockOf(name), { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock ? new Promise(() => undefined) : undefined;
    });
  });
}

/** @param {string} name */
function lockOf(name) {
  return `garmentcut-tab-${name}`;
}

function fresh() {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
}
