/**
 * What this browser keeps so that nothing is lost: two drawers in IndexedDB, `drafts` (strokes that no server has) and
 * `outbox` (decisions that have not arrived). Keys begin with the batch: one address may serve another batch tomorrow.
 */

const NAME = "garmentcut-review";
const DRAWERS = ["drafts", "outbox"];

/** @type {Promise<IDBDatabase> | null} */
let opening = null;

/** @returns {Promise<IDBDatabase>} */
function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => DRAWERS.forEach((drawer) => request.result.createObjectStore(drawer));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

/**
 * @template T
 * @param {string} drawer
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<T>}
 */
async function run(drawer, mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(drawer, mode, { durability: "strict" });
    const request = work(transaction.objectStore(drawer));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** The key of something in this batch. @param {...(string | number)} parts */
export function keyOf(...parts) {
  return [document.body.dataset.batch ?? "", ...parts].join("\n");
}

/** @param {string} drawer @param {string} key @param {unknown} value */
export function put(drawer, key, value) {
  return run(drawer, "readwrite", (store) => store.put(value, key));
}

/** @param {string} drawer @param {string} key @returns {Promise<any>} undefined if there is none */
export function take(drawer, key) {
  return run(drawer, "readonly", (store) => store.get(key));
}

/** @param {string} drawer @param {string} key */
export function drop(drawer, key) {
  return run(drawer, "readwrite", (store) => store.delete(key));
}

/**
 * Everything of this batch in a drawer, by key.
 *
 * @param {string} drawer
 * @param {...(string | number)} parts with which the keys begin
 * @returns {Promise<any[]>}
 */
export function takeAll(drawer, ...parts) {
  return run(drawer, "readonly", (store) => store.getAll(IDBKeyRange.bound(keyOf(...parts, ""), keyOf(...parts, "\uffff"))));
}
