import { decodeGray } from "../painting/png.js";
import { samePlane } from "../painting/plane.js";
import { drop, keyOf, put, take, takeAll } from "./cabinet.js";
import { insist } from "./connection.js";
import { askBlob, askJson, Refusal } from "./server.js";

/**
 * @typedef {import("./server.js").Item} Item
 * @typedef {object} Letter what is to be stored about a photo
 * @property {number} id of the photo
 * @property {number} version it is based on
 * @property {"accept" | "reject" | "reopen" | "draft" | "note"} action
 * @property {Blob} [png] the alpha, for `draft`, and for `accept` where it was corrected
 * @property {string} [note]
 * @property {number} [seconds] hands-on time
 * @property {number} [posted_ms] when, by this machine's clock
 * @property {string} [key] in the drawer
 */

/**
 * Decisions on their way to the server: kept in the browser until the server has them, sent one after the other, through
 * lost connections, reloads and crashes. Tells its listeners `sent`, `stale` and `refused` (detail: letter, item, message).
 */
export class Outbox extends EventTarget {
  constructor() {
    super();
    /** @type {Letter[]} */
    this.waiting = [];
    this.work = Promise.resolve();
    this.number = 0;
  }

  /** Send what an earlier page could not. */
  async resume() {
    for (const letter of await takeAll("outbox")) this.#enqueue(letter);
  }

  /**
   * Keep and send.
   *
   * @param {Letter} content
   * @param {Promise<Blob>} [png] the alpha, while it is still being encoded
   * @returns {Promise<void>} the browser has it: the page may be left
   */
  post(content, png) {
    const posted_ms = Date.now();
    const letter = { ...content, posted_ms, key: keyOf(content.id, posted_ms, String(this.number++).padStart(6, "0")) };
    const kept = Promise.resolve(png).then((blob) => {
      letter.png = blob;
      return put("outbox", letter.key, letter);
    });
    this.#enqueue(letter, kept);
    return kept.then(() => undefined, () => undefined);
  }

  /** True if something about a photo is on its way. @param {number} id */
  has(id) {
    return this.waiting.some((letter) => letter.id === id);
  }

  /** Wait until nothing is on its way about a photo. @param {number} id */
  async settled(id) {
    if (this.has(id)) await this.work;
  }

  /** @param {Letter} letter @param {Promise<unknown>} [kept] */
  #enqueue(letter, kept) {
    this.waiting.push(letter);
    this.#tell("waiting", { letter });
    this.work = this.work.then(async () => {
      const isKept = await (kept ?? Promise.resolve()).then(() => true, () => false);
      await alone(() => this.#deliver(letter, isKept));
      this.waiting = this.waiting.filter((other) => other !== letter);
      this.#tell("waiting", { letter });
    });
  }

  /** @param {Letter} letter @param {boolean} isKept in the drawer; a browser that keeps nothing still sends */
  async #deliver(letter, isKept) {
    const key = /** @type {string} */ (letter.key);
    if (isKept && !(await take("outbox", key))) return; // another tab has sent it
    try {
      const item = await insist(() => send(letter));
      for (const later of this.waiting) if (later.id === letter.id) later.version = item.version; // it is my own change
      await drop("outbox", key).catch(() => undefined);
      this.#tell("sent", { letter, item });
    } catch (error) {
      await drop("outbox", key).catch(() => undefined);
      const isStale = error instanceof Refusal && error.status === 409;
      this.#tell(isStale ? "stale" : "refused", { letter, item: isStale ? error.item : null, message: String(/** @type {Error} */ (error).message) });
    }
  }

  /** @param {string} kind @param {object} detail */
  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

/** One tab sends at a time, where the browser can tell. @param {() => Promise<void>} work */
function alone(work) {
  return navigator.locks ? navigator.locks.request("garmentcut-outbox", work) : work();
}

/** @param {Letter} letter @returns {Promise<Item>} */
async function send(letter) {
  try {
    return await askJson(...requestOf(letter));
  } catch (error) {
    if (error instanceof Refusal && error.status === 409 && error.item && (await hasArrived(letter, error.item))) return error.item;
    throw error;
  }
}

/** @param {Letter} letter @returns {[string, object]} */
function requestOf({ id, version, action, png, note, seconds = 0 }) {
  const address = `/api/photos/${id}`;
  if (png) {
    const accept = action === "accept" ? 1 : 0;
    return [`${address}/alpha?version=${version}&seconds=${seconds.toFixed(1)}&accept=${accept}`, { method: "PUT", png }];
  }
  if (action === "note") return [`${address}/note`, { method: "POST", json: { version, note } }];
  return [`${address}/decision`, { method: "POST", json: { version, action, note, seconds } }];
}

/**
 * True if the version in the way is this very letter: it was stored, only the answer got lost.
 *
 * @param {Letter} letter
 * @param {Item} item as it now is
 */
async function hasArrived(letter, item) {
  if (item.version !== letter.version + 1) return false;
  if (letter.action === "note") return item.note === letter.note;
  const states = { accept: ["accepted", "corrected"], reject: ["rejected"], reopen: ["open"], draft: ["open"] };
  if (!states[letter.action].includes(item.state)) return false;
  if (!letter.png || !item.urls.alpha) return letter.action === "reject" || letter.action === "accept";
  const theirs = await askBlob(item.urls.alpha);
  return samePlane(await decodeGray(letter.png), await decodeGray(theirs));
}
