import { insist } from "../page/connection.js";
import { announce } from "../page/messages.js";
import { copyPlane, samePlane } from "../painting/plane.js";
import { encodeGray } from "../painting/png.js";
import { chooseVersion } from "./conflict.js";
import { dropDraft, dropSentDraft, findDraft, keepDraft, withDraft } from "./draft.js";
import { fetchAlpha, fetchItem } from "./photo.js";

/**
 * @typedef {import("../page/server.js").PlacedItem} PlacedItem
 * @typedef {import("../page/outbox.js").Letter} Letter
 * @typedef {{letter: Letter, item: import("../page/server.js").Item | null, message: string}} News
 */

const ENCODE_AFTER_MS = 60;

/**
 * One photo after the other: opened, decided on, left. What is painted goes into the browser's own store at once and to the
 * server through the outbox. Tells its listeners `open` and `update` (the item is another).
 */
export class Desk extends EventTarget {
  /**
   * @param {object} parts
   * @param {import("./easel.js").Easel} parts.easel
   * @param {import("../page/outbox.js").Outbox} parts.outbox
   * @param {import("./shelf.js").Shelf} parts.shelf
   * @param {import("./clock.js").Clock} parts.clock
   * @param {string} parts.query the queue's filters, `?…` or empty
   */
  constructor({ easel, outbox, shelf, clock, query }) {
    super();
    this.easel = easel;
    this.outbox = outbox;
    this.shelf = shelf;
    this.clock = clock;
    this.query = query;
    /** @type {PlacedItem | null} */
    this.item = null;
    this.isOpening = false;
    this.opened = 0;
    /** Hands-on seconds of photos that were looked at and left as they were. @type {Map<number, number>} */
    this.spent = new Map();
    easel.addEventListener("change", () => this.#keep());
    outbox.addEventListener("sent", (event) => this.#sent(/** @type {CustomEvent<News>} */ (event).detail));
    outbox.addEventListener("stale", (event) => this.#stale(/** @type {CustomEvent<News>} */ (event).detail));
    outbox.addEventListener("refused", (event) => this.#refused(/** @type {CustomEvent<News>} */ (event).detail));
  }

  get photo() {
    return this.easel.photo;
  }

  /** Open a photo. @param {number} id @param {Promise<import("./photo.js").Entry>} [known] if it is being loaded already */
  async open(id, known) {
    const turn = ++this.opened;
    this.isOpening = true;
    this.#leave();
    const isWaiting = this.outbox.has(id);
    if (isWaiting) await this.outbox.settled(id);
    const taken = known && !isWaiting ? { entry: known, isFresh: true } : this.shelf.take(id, this.query);
    try {
      const entry = await taken.entry;
      if (turn === this.opened) await this.#show(entry, taken.isFresh);
    } catch (error) {
      announce(`The photo could not be opened. ${/** @type {Error} */ (error).message}`, { urgent: true });
    } finally {
      if (turn === this.opened) this.isOpening = false;
    }
  }

  /** @param {import("./photo.js").Entry} entry @param {boolean} isFresh */
  async #show({ item, photo }, isFresh) {
    this.item = item;
    this.clock.start(this.spent.get(item.id));
    if (photo) this.easel.open(photo);
    else this.easel.close();
    this.dispatchEvent(new Event("open"));
    if (photo) await this.#restore(photo);
    whenIdle(() => this.item?.id === item.id && this.shelf.preload(item.next, this.query));
    if (!isFresh) this.#refresh();
  }

  /** Bring back strokes that no server has. @param {import("./photo.js").OpenPhoto} photo */
  async #restore(photo) {
    const draft = await findDraft(photo);
    if (!draft || this.photo !== photo) return;
    const mine = withDraft(photo.alpha, draft);
    if (samePlane(mine, photo.saved)) return void dropDraft(draft.id, draft.tab);
    const isCurrent = draft.version === photo.item.version;
    const choice = isCurrent ? "mine" : await chooseVersion("The photo was stored as another version after you painted on it.");
    this.clock.start(draft.seconds);
    this.easel.replace("Strokes from before", mine);
    if (choice === "theirs") this.easel.undo();
    await this.#keep();
    await dropDraft(draft.id, draft.tab).then(() => this.#keep());
    if (isCurrent) announce("Your strokes from before are here again.");
  }

  /** Ask whether a photo loaded some time ago is still the same. */
  async #refresh() {
    const { item, query } = this;
    if (!item) return;
    const now = await fetchItem(item.id, query).catch(() => null);
    if (!now || this.item?.id !== now.id) return;
    const isOther = now.version !== item.version;
    if (isOther && this.photo && now.urls.alpha && !this.photo.isChanged) {
      const alpha = await insist(() => fetchAlpha(/** @type {string} */ (now.urls.alpha)));
      if (this.item?.id !== now.id || this.photo.isChanged) return;
      this.photo.replaceAlpha(alpha);
      this.easel.open(this.photo);
    }
    // Somebody painted on meanwhile: the version stays the one that was painted on, and the server will say so.
    this.#update(isOther && this.photo?.isChanged ? { ...now, version: item.version } : now);
  }

  /** Accept or reject, and go on. @param {"accept" | "reject"} action */
  decide(action) {
    const { photo, item } = this;
    if (this.isOpening || !item) return;
    if (!photo) return announce("This photo was not cut: there is nothing to decide.");
    const png = photo.isChanged ? encodeLater(photo.alpha) : undefined;
    if (png && action === "reject") this.#post({ action: "draft" }, png); // rejected strokes are kept all the same
    this.#post({ action }, action === "accept" ? png : undefined);
    photo.isHandedOver = true;
    const done = action === "reject" ? "Rejected" : png ? "Corrected and accepted" : "Accepted";
    if (item.next) this.open(item.next);
    announce(item.next ? `${done}: ${item.name}` : `${done}. That was the last photo of this queue.`);
  }

  /** Take a decision back. */
  reopen() {
    if (!this.item || this.isOpening) return;
    if (this.item.state === "open") return announce("Nobody has decided on this photo.");
    this.#post({ action: "reopen" });
    announce("Open again.");
  }

  /** @param {string} note */
  writeNote(note) {
    if (!this.item || note === this.item.note) return;
    this.#post({ action: "note", note });
    this.item.note = note;
  }

  /** Before another photo, or page, is opened: unsaved strokes go to the server as a draft. */
  #leave() {
    const { photo, item } = this;
    if (!photo || !item || photo.isHandedOver) return Promise.resolve();
    if (!photo.isChanged) return void this.spent.set(item.id, this.clock.seconds);
    photo.isHandedOver = true;
    return this.#post({ action: "draft" }, encodeLater(photo.alpha));
  }

  /** Leave this page for another. @param {string} address */
  async leaveFor(address) {
    await this.#leave();
    location.assign(address);
  }

  /** @param {{action: Letter["action"], note?: string}} content @param {Promise<Blob>} [png] */
  #post(content, png) {
    const item = /** @type {PlacedItem} */ (this.item);
    const seconds = content.action === "note" ? 0 : this.clock.seconds;
    if (content.action !== "note") this.clock.start();
    if (content.action !== "note") this.spent.delete(item.id);
    if (png && this.photo) this.photo.sent = copyPlane(this.photo.alpha);
    return this.outbox.post({ id: item.id, version: item.version, seconds, ...content }, png);
  }

  /** Keep unsaved strokes in the browser. */
  async #keep() {
    if (!this.photo) return;
    this.photo.isHandedOver = false;
    await this.#keepQuietly(this.photo);
    this.dispatchEvent(new Event("update"));
  }

  /** @param {import("./photo.js").OpenPhoto} photo */
  #keepQuietly(photo) {
    const tell = () => announce("This browser keeps no drafts: accept before you leave the page.", { urgent: true });
    return keepDraft(photo, this.clock.seconds).catch(tell);
  }

  /** @param {News} news */
  #sent({ letter, item }) {
    if (!item) return;
    if (item.undelivered) announce(`${item.name} is stored, but its files could not be made again: ${item.undelivered}`, { urgent: true });
    if (this.item?.id !== letter.id) return void (letter.png && dropSentDraft(letter.id, letter.posted_ms ?? 0));
    this.#update({ ...this.item, ...item });
    if (!this.photo) return;
    if (letter.png && this.photo.sent) this.photo.saved = this.photo.sent;
    this.#keepQuietly(this.photo);
  }

  /** @param {News} news */
  async #stale({ letter, item, message }) {
    if (this.item?.id !== letter.id || !this.photo || !item) {
      const href = `/photos/${letter.id}${this.query}`;
      return announce(`${item?.name ?? "A photo"} was not stored. ${message}`, { urgent: true, link: { text: "Open it", href } });
    }
    const photo = this.photo;
    const draft = await findDraft(photo);
    const choice = draft ? await chooseVersion(message) : "theirs";
    const theirs = await insist(() => fetchAlpha(/** @type {string} */ (item.urls.alpha)));
    if (this.photo !== photo) return;
    photo.replaceAlpha(theirs);
    this.#update({ ...this.item, ...item });
    this.easel.open(photo);
    if (draft) this.easel.replace("Your strokes", withDraft(theirs, draft));
    if (draft && choice === "theirs") this.easel.undo();
    this.clock.start(letter.seconds);
    if (!draft) return announce(`Your decision was not stored: ${message} This is how the photo is now.`, { urgent: true });
    announce(choice === "theirs" ? "This is theirs. Yours is one redo away (Shift+Z)." : "Yours lies over theirs. Press A to store it.");
  }

  /** @param {News} news */
  #refused({ letter, item, message }) {
    const href = `/photos/${letter.id}${this.query}`;
    announce(`${item?.name ?? "A photo"} was not stored. ${message}`, { urgent: true, link: { text: "Open it", href } });
  }

  /** @param {PlacedItem} item */
  #update(item) {
    this.item = item;
    if (this.photo) this.photo.item = item;
    this.dispatchEvent(new Event("update"));
  }
}

/**
 * Encode once the next photo is on the screen: the eye does not wait for a file.
 *
 * @param {import("../painting/plane.js").Plane} alpha
 */
async function encodeLater(alpha) {
  const painted = copyPlane(alpha);
  await new Promise((resolve) => setTimeout(resolve, ENCODE_AFTER_MS));
  return encodeGray(painted);
}

/** Safari has no idle callback. @param {() => void} work */
function whenIdle(work) {
  if ("requestIdleCallback" in globalThis) requestIdleCallback(work, { timeout: 500 });
  else setTimeout(work, 100);
}
