import { choke, smooth } from "../painting/edits.js";
import { boxOfTile, History } from "../painting/history.js";
import { copyPlane, decodeGray, decodeImage, samePlane, wholeOf } from "../painting/plane.js";
import { askBlob, askJson } from "../page/server.js";

/**
 * The photo that is edited: loading it, and painting on it in undoable steps.
 *
 * @import { Plane, Rectangle } from "../painting/plane.js"
 * @import { PlacedItem } from "../page/server.js"
 * @typedef {{item: PlacedItem, photo: OpenPhoto | null}} Entry null: `cut` failed, there is nothing to paint on
 */

/** A photo's pixels, the alpha that is edited, and the alpha that the server has. */
export class OpenPhoto {
  /** @param {PlacedItem} item @param {Uint8ClampedArray} pixels RGBA @param {Plane} alpha */
  constructor(item, pixels, alpha) {
    this.item = item;
    this.pixels = pixels;
    /** True if the current alpha was given to the outbox. */
    this.isHandedOver = false;
    /** The alpha that the outbox must send. @type {Plane | null} */
    this.sent = null;
    this.alpha = alpha;
    /** The alpha that the server has. */
    this.saved = copyPlane(alpha);
    this.history = new History(alpha);
    /** @type {Promise<Plane> | null} */
    this.first = item.has_alpha ? null : Promise.resolve(copyPlane(alpha));
  }

  /** True if there are strokes that the server does not have. */
  get isChanged() {
    return !samePlane(this.alpha, this.saved);
  }

  /** Replace the alpha by the server's, and drop all steps. @param {Plane} alpha */
  replaceAlpha(alpha) {
    this.alpha = alpha;
    this.saved = copyPlane(alpha);
    this.history = new History(alpha);
  }

  /** The prediction before anybody corrected it. @returns {Promise<Plane>} */
  predicted() {
    return (this.first ??= fetchAlpha(this.item.urls.predicted));
  }
}

/** Everything that is needed to show a photo. @param {PlacedItem} item @returns {Promise<Entry>} */
export async function loadPhoto(item) {
  const address = item.urls.alpha;
  if (!address) return { item, photo: null };
  const [image, alpha] = await Promise.all([askBlob(item.urls.photo).then(decodeImage), fetchAlpha(address)]);
  return { item, photo: new OpenPhoto(item, image.data, alpha) };
}

/** @param {number} id @param {string} query the queue's filters, `?…` or empty @returns {Promise<PlacedItem>} */
export function fetchItem(id, query) {
  return askJson(`/api/photos/${id}${query}`);
}

/** @param {string} address */
export async function fetchAlpha(address) {
  return decodeGray(await askBlob(address));
}

/** What tools paint on: the open photo's alpha, shown on the stage, with its steps. Dispatches `change` after each step. */
export class Easel extends EventTarget {
  /** @type {OpenPhoto | null} */
  photo = null;
  /** All zero between strokes. @type {Plane} */
  coverage = { width: 0, height: 0, data: new Uint8Array(0) };
  #isPainting = false;
  /** Successive presses that move the edge are one step. @type {{step: import("../painting/history.js").Step | null, distance: number}} */
  #move = { step: null, distance: 0 };

  /** @param {import("./stage.js").Stage} stage @param {import("./controls.js").Settings} settings */
  constructor(stage, settings) {
    super();
    this.stage = stage;
    this.settings = settings;
  }

  /** Wait until no stroke is being painted; until then `settled` must not change. */
  async rest() {
    while (this.#isPainting) await new Promise((resolve) => this.addEventListener("rest", resolve, { once: true }));
  }

  /** A stroke began or ended. @param {boolean} isPainting */
  setPainting(isPainting) {
    this.#isPainting = isPainting;
    if (!isPainting) this.dispatchEvent(new Event("rest"));
  }

  /** @param {OpenPhoto | null} photo null: show nothing */
  open(photo) {
    this.photo = photo;
    if (photo) {
      const { width, height } = photo.alpha;
      if (this.coverage.width !== width || this.coverage.height !== height) {
        this.coverage = { width, height, data: new Uint8Array(width * height) };
      }
    }
    this.stage.show(photo);
  }

  /** The alpha to paint on, and the alpha before the stroke. */
  get planes() {
    return { alpha: this.photo.alpha, settled: this.photo.history.settled };
  }

  /** Make a step of what was painted. @param {string} label @param {Rectangle | null} box */
  commit(label, box) {
    const step = this.photo?.history.commit(label, box) ?? null;
    if (step) this.dispatchEvent(new Event("change"));
    return step;
  }

  /** Paint a whole new alpha, as one step. @param {string} label @param {Plane} plane */
  replace(label, plane) {
    const { alpha } = this.planes;
    alpha.data.set(plane.data);
    const step = this.commit(label, wholeOf(alpha));
    for (const tile of step?.tiles ?? []) this.stage.touch(boxOfTile(alpha, tile.index));
    return step;
  }

  /** @returns {string | null} what was undone */
  undo() {
    return this.#show(this.photo?.history.undo());
  }

  redo() {
    return this.#show(this.photo?.history.redo());
  }

  #show(step) {
    if (!step) return null;
    this.stage.touch(step.box);
    this.dispatchEvent(new Event("change"));
    return step.label;
  }

  /** Move the whole edge. @param {number} distance pixels; positive: inwards @returns {string} the position of the edge, in words */
  moveEdge(distance) {
    // Presses in a row are one step, which moves the original edge by their sum: an edge moved eight times would be softer.
    const { step, distance: before } = this.#move;
    const goesOn = step !== null && this.photo?.history.done.at(-1) === step;
    const sum = (goesOn ? before : 0) + distance;
    const label = `Edge ${sum === 0 ? "as it was" : `${Math.abs(sum).toFixed(2)} px ${sum > 0 ? "in" : "out"}`}`;
    if (goesOn) this.undo();
    this.#move = { step: this.replace(label, choke(this.planes.settled, sum)), distance: sum };
    return label;
  }

  /** Smooth jagged parts of the edge. @returns {boolean} false if there are none */
  smoothEdge() {
    return this.replace("Smooth edge", smooth(this.planes.settled)) !== null;
  }
}
