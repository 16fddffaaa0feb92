import { announce, byId } from "../page/page.js";
import { askJson } from "../page/server.js";
import { dropDraft, dropSentDraft, findDraft, keepDraft, withDraft } from "../page/store.js";
import { copyPlane, encodeGray, samePlane } from "../painting/plane.js";
import { fetchAlpha, fetchItem, loadPhoto } from "./photo.js";

/**
 * @import { Item, PlacedItem } from "../page/server.js"
 * @import { Letter, News } from "../page/store.js"
 * @import { Entry, OpenPhoto } from "./photo.js"
 */

const ENCODE_AFTER_MS = 60;
const KEPT_WITHIN_MS = 5000;
const IDLE_S = 15;

/** Opens photos one after another, and sends strokes and decisions through the outbox. Dispatches `open` and `update` (the item has changed). */
export class Desk extends EventTarget {
  /** @type {PlacedItem | null} */
  item = null;
  clock = new Clock();
  /** The next photo, loaded while this one is edited. Only one, because a photo of 1152x1728 takes 14 MB. @type {{id: number, entry: Promise<Entry>} | null} */
  #shelf = null;
  #isOpening = false;
  #opened = 0;
  /** Working time in seconds on photos that were viewed and not changed. @type {Map<number, number>} */
  #spent = new Map();
  /** Positions of photos when they were first seen, so that a decision does not change the counter. @type {Map<number, {position: number, total: number}>} */
  #places = new Map();

  /** @param {import("./photo.js").Easel} easel @param {import("../page/store.js").Outbox} outbox @param {string} query the queue's filters, `?…` or empty */
  constructor(easel, outbox, query) {
    super();
    this.easel = easel;
    this.outbox = outbox;
    this.query = query;
    easel.addEventListener("change", () => this.#keep());
    outbox.on("sent", (news) => this.#sent(news));
    outbox.on("stale", (news) => this.#stale(news));
    outbox.on("refused", (news) => this.#tellRefused(news));
  }

  get photo() {
    return this.easel.photo;
  }

  /** Open a photo. @param {number} id @param {Promise<Entry>} [known] if it is being loaded already */
  async open(id, known) {
    const turn = ++this.#opened;
    this.#isOpening = true;
    this.#leave();
    const shelved = this.#shelf?.id === id ? this.#shelf.entry : null;
    this.#shelf = null;
    const isWaiting = this.outbox.has(id);
    if (isWaiting) await this.outbox.settled(id);
    try {
      const entry = await ((isWaiting ? null : known) ?? shelved ?? this.#load(id));
      if (turn === this.#opened) await this.#show(entry, shelved === null);
    } catch (error) {
      announce(`The photo could not be opened. ${error.message}`, { urgent: true });
    } finally {
      if (turn === this.#opened) this.#isOpening = false;
    }
  }

  step(direction) {
    const id = this.item?.[direction];
    if (id) this.open(id);
    else announce(`This is the ${direction === "next" ? "last" : "first"} photo of this queue.`);
  }

  #load(id) {
    return fetchItem(id, this.query).then(loadPhoto);
  }

  #preload(id) {
    if (!id || this.#shelf?.id === id) return;
    const shelf = { id, entry: this.#load(id) };
    shelf.entry.catch(() => this.#shelf === shelf && (this.#shelf = null)); // opening it loads it again and reports the error
    this.#shelf = shelf;
  }

  /** @param {Entry} entry @param {boolean} isFresh it was just loaded from the server */
  async #show({ item, photo }, isFresh) {
    this.item = Object.assign(item, this.#placeOf(item));
    this.clock.start(this.#spent.get(item.id));
    this.easel.open(photo);
    this.dispatchEvent(new Event("open"));
    if (photo) await this.#restore(photo);
    const preload = () => this.item?.id === item.id && this.#preload(item.next);
    if ("requestIdleCallback" in globalThis) requestIdleCallback(preload, { timeout: 500 });
    else setTimeout(preload, 100); // Safari has no idle callback
    if (!isFresh) this.#refresh();
  }

  /** One more, or one less, than the photo before. @param {PlacedItem} item */
  #placeOf({ id, position, total }) {
    const before = this.item;
    const step = Number(before?.next === id) - Number(before?.previous === id);
    const counted = before && step ? { position: Math.max(1, before.position + step), total: before.total } : { position, total };
    const place = this.#places.get(id) ?? { ...counted, total: Math.max(counted.position, counted.total) };
    this.#places.set(id, place);
    return place;
  }

  /** Photos that changed, here or elsewhere: views of this garment show it. @param {Item[]} items */
  hear(items) {
    if (!this.item) return;
    const siblings = this.item.siblings.map((sibling) => items.find(({ id }) => id === sibling.id) ?? sibling);
    this.#update({ ...this.item, siblings });
  }

  /** Restore strokes that were not sent to the server. @param {OpenPhoto} photo */
  async #restore(photo) {
    const draft = await findDraft(photo);
    if (!draft || this.photo !== photo) return;
    const mine = withDraft(photo.alpha, draft);
    if (samePlane(mine, photo.saved)) return void dropDraft(draft.id, draft.tab);
    const isCurrent = draft.version === photo.item.version;
    const choice = isCurrent ? "mine" : await chooseVersion("Somebody saved another version of the photo after you painted on it.");
    this.clock.start(draft.seconds);
    this.easel.replace("Earlier strokes", mine);
    if (choice === "theirs") this.easel.undo();
    await this.#keep();
    await dropDraft(draft.id, draft.tab).then(() => this.#keep());
    if (isCurrent) announce("Your earlier strokes have been restored.");
  }

  /** Check whether a photo that was loaded some time ago is still current. */
  async #refresh() {
    const { item, query } = this;
    if (!item) return;
    const now = await fetchItem(item.id, query).catch(() => null);
    if (!now || this.item?.id !== now.id) return;
    const isOther = now.version !== item.version;
    if (isOther && this.photo && now.urls.alpha && !this.photo.isChanged) {
      const alpha = await fetchAlpha(now.urls.alpha);
      if (this.item?.id !== now.id || this.photo.isChanged) return;
      this.photo.replaceAlpha(alpha);
      this.easel.open(this.photo);
    }
    // If it was painted on meanwhile, its version is kept, and the server will report the conflict.
    const version = isOther && this.photo?.isChanged ? item.version : now.version;
    this.#update({ ...now, version, ...this.#places.get(now.id) });
  }

  /** Accept or reject, and open the next photo. @param {"accept" | "reject"} action */
  decide(action) {
    const { photo, item } = this;
    if (this.#isOpening || !item) return;
    if (!photo) return announce("This photo was not cut: there is nothing to decide.");
    const png = photo.isChanged ? encodeLater(photo.alpha) : undefined;
    if (png && action === "reject") this.#post({ action: "draft" }, png); // strokes of rejected photos are kept too
    this.#post({ action }, action === "accept" ? png : undefined);
    photo.isHandedOver = true;
    const done = action === "reject" ? "Rejected" : png ? "Corrected and accepted" : "Accepted";
    if (item.next) this.open(item.next);
    else this.#finish(item.id);
    announce(item.next ? `${done}: ${item.name}` : `${done}. That was the last photo of this queue.`);
  }

  /** The last photo of a queue was decided; if it was the batch's last one, a page shows a summary. @param {number} id */
  async #finish(id) {
    await this.outbox.settled(id);
    const { total } = await askJson("/api/photos?state=open&limit=1");
    if (total === 0 && this.item?.id === id) location.assign("/statistics");
  }

  /** Undo a decision. */
  reopen() {
    if (!this.item || this.#isOpening) return;
    if (this.item.state === "open") return announce("There is no decision on this photo to undo.");
    this.#post({ action: "reopen" });
    announce("Open again.");
  }

  writeNote(note) {
    if (!this.item || note === this.item.note) return;
    this.#post({ action: "note", note });
    this.item.note = note;
  }

  /** Send unsaved strokes to the server as a draft, before another photo or page is opened. */
  #leave() {
    const { photo, item } = this;
    if (!photo || !item || photo.isHandedOver) return Promise.resolve();
    if (!photo.isChanged) return void this.#spent.set(item.id, this.clock.seconds);
    photo.isHandedOver = true;
    return this.#post({ action: "draft" }, encodeLater(photo.alpha));
  }

  /** Leave this page for another. @param {string} address */
  async leaveFor(address) {
    this.#leave();
    await Promise.race([this.outbox.kept, new Promise((resolve) => setTimeout(resolve, KEPT_WITHIN_MS))]); // after that, the browser asks
    location.assign(address);
  }

  /** @param {{action: Letter["action"], note?: string}} content @param {Promise<Blob>} [png] */
  #post(content, png) {
    const item = this.item;
    const isNote = content.action === "note";
    const seconds = isNote ? 0 : this.clock.seconds;
    if (!isNote) {
      this.clock.start();
      this.#spent.delete(item.id);
    }
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

  #keepQuietly(photo) {
    const tell = () => announce("This browser cannot keep drafts: accept before you leave the page.", { urgent: true });
    return keepDraft(photo, this.clock.seconds).catch(tell);
  }

  #sent({ letter, item }) {
    if (!item) return;
    this.hear([item]);
    if (item.undelivered) announce(`${item.name} is saved, but its files could not be rewritten: ${item.undelivered}`, { urgent: true });
    if (this.item?.id !== letter.id) return void (letter.png && dropSentDraft(letter.id, letter.posted_ms ?? 0));
    this.#update({ ...this.item, ...item });
    if (!this.photo) return;
    if (letter.png && this.photo.sent) this.photo.saved = this.photo.sent;
    this.#keepQuietly(this.photo);
  }

  /** Somebody else has stored another version. @param {News} news */
  async #stale({ letter, item, message }) {
    const { photo } = this;
    if (this.item?.id !== letter.id || !photo || !item) return this.#tellRefused({ letter, item, message });
    const draft = await findDraft(photo);
    const choice = draft ? await chooseVersion(message) : "theirs";
    const theirs = await fetchAlpha(item.urls.alpha);
    if (this.photo !== photo) return;
    photo.replaceAlpha(theirs);
    this.#update({ ...this.item, ...item });
    this.easel.open(photo);
    if (draft) this.easel.replace("Your strokes", withDraft(theirs, draft));
    if (draft && choice === "theirs") this.easel.undo();
    this.clock.start(letter.seconds);
    if (!draft) return announce(`Your decision was not saved: ${message} This is the photo as it is now.`, { urgent: true });
    announce(choice === "theirs" ? "This is theirs. Yours is one redo away (Shift+Z)." : "Your strokes are on top of theirs. Press A to save.");
  }

  #tellRefused({ letter, item, message }) {
    const link = { text: "Open it", href: `/photos/${letter.id}${this.query}` };
    announce(`${item?.name ?? "A photo"} was not saved. ${message}`, { urgent: true, link });
  }

  #update(item) {
    this.item = item;
    if (this.photo) this.photo.item = item;
    this.dispatchEvent(new Event("update"));
  }
}

/** Encode after the next photo is shown, so that nobody waits for it. @param {import("../painting/plane.js").Plane} alpha */
async function encodeLater(alpha) {
  const painted = copyPlane(alpha);
  await new Promise((resolve) => setTimeout(resolve, ENCODE_AFTER_MS));
  return encodeGray(painted);
}

/** Let the person choose between two versions. Nothing is stored either way. @param {string} message @returns {Promise<"theirs" | "mine">} */
function chooseVersion(message) {
  const dialog = byId("conflict");
  byId("conflict-message").textContent = message;
  if (!dialog.open) dialog.showModal();
  dialog.oncancel = (event) => event.preventDefault(); // Escape must not close it
  return new Promise((resolve) => {
    for (const choice of ["theirs", "mine"]) byId(`conflict-${choice}`).onclick = () => (dialog.close(), resolve(choice));
  });
}

/**
 * Working time in seconds: the time between user actions while the page is visible. A pause counts for at most fifteen
 * seconds, the time that it takes to check a photo.
 */
export class Clock {
  #counted = 0;
  #isSeen = true;

  constructor(now_ms = () => performance.now()) {
    this.now_ms = now_ms;
    this.last_ms = now_ms();
  }

  /** Start for another photo. @param {number} [seconds] time spent on it before that is not yet stored */
  start(seconds = 0) {
    this.#counted = seconds;
    this.show();
  }

  /** The user did something: a key, a stroke, a move. */
  tick() {
    this.#counted = this.seconds;
    this.show();
  }

  /** The page was hidden. */
  hide() {
    this.tick();
    this.#isSeen = false;
  }

  /** The page is visible again. */
  show() {
    this.last_ms = this.now_ms();
    this.#isSeen = true;
  }

  /** Seconds up to now. */
  get seconds() {
    return this.#counted + (this.#isSeen ? Math.min(IDLE_S, (this.now_ms() - this.last_ms) / 1000) : 0);
  }

  /** Listen for user actions on this page. */
  watch() {
    for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      addEventListener(kind, () => this.tick(), { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => (document.hidden ? this.hide() : this.show()));
  }
}
