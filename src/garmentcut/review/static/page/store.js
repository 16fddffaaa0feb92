import { copyPlane, decodeGray, samePlane } from "../painting/plane.js";
import { putTile, tilesOfDifference } from "../painting/history.js";
import { askBlob, askJson, Refusal } from "./server.js";

/**
 * What this browser stores so that nothing is lost, in two IndexedDB stores: `drafts` (strokes that the server does not
 * have) and `outbox` (unsent decisions). Keys begin with the batch, because an address may serve another batch later.
 *
 * @import { Item } from "./server.js"
 * @import { Plane } from "../painting/plane.js"
 * @typedef {"drafts" | "outbox"} StoreName
 */

const DATABASE = "garmentcut-review";
const STORES = ["drafts", "outbox"];
const [HANGS_MS, HUNG_MS] = [20_000, 500]; // a slow disk takes seconds; once it hangs, decisions, which are sent anyway, wait less
const TAB_KEY = "garmentcut-tab";

/** @type {Promise<IDBDatabase> | null} */
let opening = null;
/** @type {Promise<string> | null} */
let naming = null;
let hangs = false;

/** The result of a request to a store, after its transaction is committed. A database that hangs is an error. @param {StoreName} name @param {(store: IDBObjectStore) => IDBRequest} work @param {IDBTransactionMode} [mode] */
async function run(name, work, mode = "readwrite") {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => STORES.forEach((store) => request.result.createObjectStore(store));
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const done = opening.then((database) => new Promise((resolve, reject) => {
    const transaction = database.transaction(name, mode, { durability: "strict" });
    const request = work(transaction.objectStore(name));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  })).finally(() => (hangs = false));
  const late = new Error("the browser's storage hangs");
  const waited = new Promise((_, reject) => setTimeout(reject, hangs && name === "outbox" ? HUNG_MS : HANGS_MS, late));
  return Promise.race([done, waited]).catch((error) => ((hangs = error === late), Promise.reject(error)));
}

/** The key of something in this batch. @param {...(string | number)} parts */
function keyOf(...parts) {
  return [document.body.dataset.batch ?? "", ...parts].join("\n");
}

/** Everything of this batch in a store, by key. @param {StoreName} store @param {...number} parts with which the keys begin @returns {Promise<any[]>} */
function getAll(store, ...parts) {
  return run(store, (opened) => opened.getAll(IDBKeyRange.bound(keyOf(...parts, ""), keyOf(...parts, "\uffff"))), "readonly");
}

/** This tab's name, which survives a reload; a duplicated tab gets a new one. @returns {Promise<string>} */
function tabName() {
  return (naming ??= claim(sessionStorage.getItem(TAB_KEY)));
}

/** Hold a name until the tab is closed; if another tab holds it, a new one. */
function claim(name) {
  name ??= `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
  sessionStorage.setItem(TAB_KEY, name);
  if (!navigator.locks) return Promise.resolve(name);
  return new Promise((resolve) => {
    navigator.locks.request(`${TAB_KEY}-${name}`, { ifAvailable: true }, (lock) => {
      resolve(lock ? name : claim(null));
      return lock ? new Promise(() => undefined) : undefined;
    });
  });
}

/** True if a tab with this name is open; false if the browser cannot tell (plain http from another machine). */
async function isAlive(name) {
  return navigator.locks ? navigator.locks.request(`${TAB_KEY}-${name}`, { ifAvailable: true }, async (lock) => lock === null) : false;
}

/**
 * Strokes that the server does not have yet, stored after each one, so that a reload or crash loses none. Each tab has its
 * own; drafts of a closed tab are taken over by the next tab that opens the photo.
 *
 * @typedef {object} Draft
 * @property {number} id of the photo
 * @property {string} tab
 * @property {number} version of the photo that it is based on
 * @property {number} width
 * @property {number} height
 * @property {import("../painting/history.js").Tile[]} tiles
 * @property {number} seconds working time that is not stored yet
 * @property {number} kept_ms when, by this machine's clock
 */

/** Store what is painted; drop the draft if all of it is saved. @param {import("../editor/photo.js").OpenPhoto} photo @param {number} seconds */
export async function keepDraft({ item: { id, version }, alpha, saved }, seconds) {
  const tiles = tilesOfDifference(alpha, saved);
  if (!tiles.length) return dropDraft(id);
  const tab = await tabName();
  const draft = { id, tab, version, width: alpha.width, height: alpha.height, tiles, seconds, kept_ms: Date.now() };
  return run("drafts", (store) => store.put(draft, keyOf(id, tab)));
}

/** Drop a draft; one that cannot be dropped is dropped by a later page, because it changes nothing. @param {number} id @param {string} [tab] by default this tab */
export async function dropDraft(id, tab) {
  const key = keyOf(id, tab ?? (await tabName()));
  return run("drafts", (store) => store.delete(key)).catch(() => undefined);
}

/** Drop this tab's draft of a closed photo if it is not newer than what the server received. @param {number} id @param {number} posted_ms */
export async function dropSentDraft(id, posted_ms) {
  const own = await tabName();
  for (const draft of await getAll("drafts", id).catch(() => [])) if (draft.tab === own && draft.kept_ms <= posted_ms) await dropDraft(id);
}

/** The draft of a photo, from this tab or from a closed one. @param {import("../editor/photo.js").OpenPhoto} photo @returns {Promise<Draft | null>} */
export async function findDraft({ item, alpha }) {
  const own = await tabName();
  /** @type {Draft[]} */
  const all = await getAll("drafts", item.id).catch(() => []);
  const fitting = all.filter((draft) => draft.width === alpha.width && draft.height === alpha.height);
  for (const draft of fitting) if (draft.tab === own) return draft;
  for (const draft of fitting) if (!(await isAlive(draft.tab))) return draft;
  return null;
}

/** An alpha with a draft's tiles applied. @param {Plane} alpha @param {Draft} draft @returns {Plane} */
export function withDraft(alpha, draft) {
  const plane = copyPlane(alpha);
  for (const tile of draft.tiles) putTile(plane, tile);
  return plane;
}

/**
 * A change of a photo for the server to store.
 *
 * @typedef {object} Letter
 * @property {number} id of the photo
 * @property {number} version it is based on
 * @property {"accept" | "reject" | "reopen" | "draft" | "note"} action
 * @property {Blob} [png] the alpha, for `draft`, and for `accept` if it was corrected
 * @property {string} [note]
 * @property {number} [seconds] working time
 * @property {number} [posted_ms] when, by this machine's clock
 * @property {string} [key] in the store
 * @property {boolean} [isKept] it is in the store
 * @property {boolean} [isResent] an earlier page posted it, and may have sent it
 *
 * @typedef {{letter: Letter, item: Item | null, message: string}} News
 */

/** Sends decisions one after another, and keeps them in the browser until the server has them. Dispatches `sent`, `stale` and `refused` (detail: News). */
export class Outbox extends EventTarget {
  /** @type {Letter[]} */
  waiting = [];
  /** Resolves when the browser has stored what was posted, so that the page may be left. @type {Promise<any>} */
  kept = Promise.resolve();
  #work = Promise.resolve();
  #number = 0;

  constructor() {
    super();
    addEventListener("beforeunload", (event) => this.waiting.every(({ isKept }) => isKept) || event.preventDefault());
  }

  /** Send what an earlier page could not send. */
  async resume() {
    for (const letter of await getAll("outbox").catch(() => [])) this.#enqueue({ ...letter, isKept: true, isResent: true });
  }

  /** Store and send a letter. @param {Promise<Blob>} [png] the alpha, while it is still being encoded @returns {Promise<any>} `kept` */
  post(content, png) {
    const posted_ms = Date.now();
    const letter = { ...content, posted_ms, key: keyOf(content.id, posted_ms, String(this.#number++).padStart(6, "0")) };
    const kept = Promise.resolve(png).then((blob) => {
      letter.png = blob;
      return run("outbox", (store) => store.put(letter, letter.key)).then(() => (letter.isKept = true));
    });
    this.#enqueue(letter, kept);
    return (this.kept = Promise.allSettled([this.kept, kept]));
  }

  /** True if something about a photo is being sent. @param {number} id */
  has(id) {
    return this.waiting.some((letter) => letter.id === id);
  }

  /** Wait until nothing about a photo is being sent. @param {number} id */
  async settled(id) {
    if (this.has(id)) await this.#work;
  }

  /** Listen for the results of letters. @param {"sent" | "stale" | "refused"} kind @param {(news: News) => void} hear */
  on(kind, hear) {
    this.addEventListener(kind, (event) => hear(event.detail));
  }

  #enqueue(letter, kept = Promise.resolve()) {
    this.waiting.push(letter);
    this.#tell("waiting", { letter });
    this.#work = this.#work.then(async () => {
      await kept.catch(() => undefined); // browsers that cannot store still send
      const deliver = () => this.#deliver(letter);
      await (navigator.locks ? navigator.locks.request("garmentcut-outbox", deliver) : deliver()); // one tab sends at a time
      this.waiting = this.waiting.filter((other) => other !== letter);
      this.#tell("waiting", { letter });
    });
  }

  /** @param {Letter} letter */
  async #deliver(letter) {
    if (letter.isKept && !(await run("outbox", (store) => store.get(letter.key), "readonly").catch(() => true))) return; // another tab has sent it
    const { kind, ...news } = await send(letter);
    if (kind === "sent") for (const later of this.waiting) if (later.id === letter.id) later.version = news.item.version; // the new version is this page's own change
    await run("outbox", (store) => store.delete(letter.key)).catch(() => undefined);
    this.#tell(kind, { letter, ...news });
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

async function send(letter) {
  try {
    const earlier = letter.isResent ? await askJson(`/api/photos/${letter.id}`) : letter;
    if (earlier.version !== letter.version && (await hasArrived(letter, earlier))) return { kind: "sent", item: earlier, message: "" };
    return { kind: "sent", item: await askJson(...requestOf(letter)), message: "" };
  } catch (error) {
    const item = error instanceof Refusal && error.status === 409 ? error.item : null;
    const hasIt = item && (await hasArrived(letter, item));
    return { kind: hasIt ? "sent" : item ? "stale" : "refused", item, message: error.message };
  }
}

function requestOf({ id, version, action, png, note, seconds = 0 }) {
  const address = `/api/photos/${id}`;
  if (png) {
    const accept = action === "accept" ? 1 : 0;
    return [`${address}/alpha?version=${version}&seconds=${seconds.toFixed(1)}&accept=${accept}`, { method: "PUT", png }];
  }
  if (action === "note") return [`${address}/note`, { method: "POST", json: { version, note } }];
  return [`${address}/decision`, { method: "POST", json: { version, action, note, seconds } }];
}

/** True if the conflicting version is this letter's own: it was stored, but the response was lost. @param {Letter} letter @param {Item} item the current one */
async function hasArrived(letter, item) {
  if (item.version !== letter.version + 1) return false;
  if (letter.action === "note") return item.note === letter.note;
  const states = { accept: ["accepted", "corrected"], reject: ["rejected"], reopen: ["open"], draft: ["open"] };
  if (!states[letter.action].includes(item.state)) return false;
  if (!letter.png || !item.urls.alpha) return letter.action === "reject" || letter.action === "accept";
  const stored = await askBlob(item.urls.alpha).then(decodeGray).catch(() => null);
  return stored !== null && samePlane(await decodeGray(letter.png), stored);
}
