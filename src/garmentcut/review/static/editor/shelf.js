import { fetchItem, loadPhoto } from "./photo.js";

/** @typedef {import("./photo.js").Entry} Entry */

/**
 * The next photo, loaded while this one is worked on. One is kept: a photo of 1152x1728 takes 14 MB.
 */
export class Shelf {
  constructor() {
    /** @type {number | null} of the photo that waits */
    this.id = null;
    /** @type {Promise<Entry> | null} */
    this.entry = null;
  }

  /** @param {number | null} id @param {string} query */
  preload(id, query) {
    if (!id || this.id === id) return;
    this.id = id;
    this.entry = fetchItem(id, query).then(loadPhoto);
    this.entry.catch(() => this.#forget(id)); // it is loaded again, and its error told, when it is opened
  }

  /**
   * @param {number} id
   * @param {string} query
   * @returns {{entry: Promise<Entry>, isFresh: boolean}} fresh: asked of the server just now
   */
  take(id, query) {
    const waiting = this.id === id ? this.entry : null;
    this.#forget(this.id);
    return { entry: waiting ?? fetchItem(id, query).then(loadPhoto), isFresh: !waiting };
  }

  /** @param {number | null} id */
  #forget(id) {
    if (this.id !== id) return;
    this.id = null;
    this.entry = null;
  }
}
