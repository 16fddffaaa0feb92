import { choke, smooth } from "../painting/edits.js";
import { boxOfTile, History } from "../painting/history.js";
import { copyPlane, decodeGray, decodeImage, samePlane, wholeOf } from "../painting/plane.js";
import { askBlob, askJson } from "../page/server.js";

/**
 * The photo that is worked on: loaded, and painted on in steps.
 *
 * @import { Plane, Rectangle } from "../painting/plane.js"
 * @import { PlacedItem } from "../page/server.js"
 * @typedef {{item: PlacedItem, photo: OpenPhoto | null}} Entry null: `cut` failed, there is nothing to paint on
 */

/** A photo's pixels, the alpha that is painted, the alpha as the server has it. */
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

/** What tools paint on: the open photo's alpha, shown on the stage, kept as steps. Tells its listeners `change` after every step. */
export class Easel extends EventTarget {
  /** @type {OpenPhoto | null} */
  photo = null;
  /** All zero between strokes. @type {Plane} */
  coverage = { width: 0, height: 0, data: new Uint8Array(0) };
  #isPainting = false;
  /** Presses that move the edge are one step while nothing comes between them. @type {{step: import("../painting/history.js").Step | null, distance: number}} */
  #move = { step: null, distance: 0 };

  /** @param {import("./stage.js").Stage} stage @param {import("./controls.js").Settings} settings */
  constructor(stage, settings) {
    super();
    this.stage = stage;
    this.settings = settings;
  }

  /** Wait until no brush is down: until then `settled` must stay as it is. */
  async rest() {
    while (this.#isPainting) await new Promise((resolve) => this.addEventListener("rest", resolve, { once: true }));
  }

  /** A brush came down, or went up. @param {boolean} isPainting */
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

  /** Make what was painted a step. @param {string} label @param {Rectangle | null} box */
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

  /**
   * Move the whole edge. Presses in a row are one step: each computes the sum of all from where the first began, since
   * an edge moved eight times by a quarter pixel would be softer than one moved once by two.
   *
   * @param {number} distance pixels; positive: inwards
   * @returns {string} where the edge is now, in words
   */
  moveEdge(distance) {
    const { step, distance: before } = this.#move;
    const goesOn = step !== null && this.photo?.history.done.at(-1) === step;
    const sum = (goesOn ? before : 0) + distance;
    const label = `Edge ${sum === 0 ? "as it was" : `${Math.abs(sum).toFixed(2)} px ${sum > 0 ? "in" : "out"}`}`;
    if (goesOn) this.undo();
    this.#move = { step: this.replace(label, choke(this.planes.settled, sum)), distance: sum };
    return label;
  }

  /** Take the steps out of the edge. @returns {boolean} false if it has none */
  smoothEdge() {
    return this.replace("Smooth edge", smooth(this.planes.settled)) !== null;
  }
}
