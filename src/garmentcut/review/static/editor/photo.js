import { History } from "../painting/history.js";
import { copyPlane, samePlane } from "../painting/plane.js";
import { decodeGray, decodeImage } from "../painting/png.js";
import { askBlob, askJson } from "../page/server.js";
import { insist } from "../page/connection.js";

/**
 * @typedef {import("../painting/plane.js").Plane} Plane
 * @typedef {import("../page/server.js").PlacedItem} PlacedItem
 */

/**
 * A photo on the easel: its pixels, the alpha that is painted, the alpha as the server has it.
 */
export class OpenPhoto {
  /** @param {PlacedItem} item @param {Uint8ClampedArray} pixels RGBA @param {Plane} alpha */
  constructor(item, pixels, alpha) {
    this.item = item;
    this.pixels = pixels;
    /** True once what is painted was given to the outbox, until it is painted on. */
    this.isHandedOver = false;
    /** What the outbox has to send. @type {Plane | null} */
    this.sent = null;
    this.alpha = alpha;
    /** The alpha as the server has it. */
    this.saved = copyPlane(alpha);
    this.history = new History(alpha);
    /** @type {Promise<Plane> | null} */
    this.first = item.has_alpha ? null : Promise.resolve(copyPlane(alpha));
  }

  /** True if there are strokes that the server has not. */
  get isChanged() {
    return !samePlane(this.alpha, this.saved);
  }

  /** Take the server's alpha, and forget all steps. @param {Plane} alpha */
  replaceAlpha(alpha) {
    this.alpha = alpha;
    this.saved = copyPlane(alpha);
    this.history = new History(alpha);
  }

  /** The prediction before anybody corrected it. @returns {Promise<Plane>} */
  predicted() {
    this.first ??= fetchAlpha(/** @type {string} */ (this.item.urls.predicted));
    return this.first;
  }
}

/**
 * Everything that is needed to show a photo.
 *
 * @param {PlacedItem} item
 * @returns {Promise<Entry>}
 *
 * @typedef {{item: PlacedItem, photo: OpenPhoto | null}} Entry null: `cut` failed, there is nothing to paint on
 */
export async function loadPhoto(item) {
  const address = item.urls.alpha;
  if (!address) return { item, photo: null };
  const [image, alpha] = await Promise.all([insist(() => fetchPhoto(item.urls.photo)), insist(() => fetchAlpha(address))]);
  return { item, photo: new OpenPhoto(item, image.data, alpha) };
}

/** @param {number} id @param {string} query the queue's filters, `?…` or empty @returns {Promise<PlacedItem>} */
export function fetchItem(id, query) {
  return insist(() => askJson(`/api/photos/${id}${query}`));
}

/** @param {string} address */
export async function fetchAlpha(address) {
  return decodeGray(await askBlob(address));
}

/** @param {string} address */
async function fetchPhoto(address) {
  return decodeImage(await askBlob(address));
}
