import { wholeOf } from "../painting/rectangle.js";
import { boxOfTile } from "../painting/tiles.js";

/**
 * @typedef {import("../painting/plane.js").Plane} Plane
 * @typedef {import("../painting/rectangle.js").Rectangle} Rectangle
 * @typedef {import("./photo.js").OpenPhoto} OpenPhoto
 */

/**
 * What tools paint on: the open photo's alpha, shown on the stage, kept as steps. Tells its listeners `change` after
 * every step (detail: label).
 */
export class Easel extends EventTarget {
  /** @param {import("./stage.js").Stage} stage @param {import("./settings.js").Settings} settings */
  constructor(stage, settings) {
    super();
    this.stage = stage;
    this.settings = settings;
    /** @type {OpenPhoto | null} */
    this.photo = null;
    /** All zero between strokes. @type {Plane} */
    this.coverage = { width: 0, height: 0, data: new Uint8Array(0) };
    /** True while a brush is down: `settled` must then stay as it is. */
    this.isPainting = false;
  }

  /** Wait until no brush is down. */
  async rest() {
    while (this.isPainting) await new Promise((resolve) => this.addEventListener("rest", resolve, { once: true }));
  }

  /** A brush came down, or went up. @param {boolean} isPainting */
  setPainting(isPainting) {
    this.isPainting = isPainting;
    if (!isPainting) this.dispatchEvent(new Event("rest"));
  }

  /** @param {OpenPhoto} photo */
  open(photo) {
    this.photo = photo;
    const { width, height } = photo.alpha;
    if (this.coverage.width !== width || this.coverage.height !== height) {
      this.coverage = { width, height, data: new Uint8Array(width * height) };
    }
    this.stage.show(photo);
  }

  /** Show nothing. */
  close() {
    this.photo = null;
    this.stage.show(null);
  }

  /** The alpha to paint on, and the alpha before the stroke. */
  get planes() {
    const photo = /** @type {OpenPhoto} */ (this.photo);
    return { alpha: photo.alpha, settled: photo.history.settled };
  }

  /** Show what was painted. @param {Rectangle | null} box */
  touch(box) {
    if (box) this.stage.touch(box);
  }

  /** Make what was painted a step. @param {string} label @param {Rectangle | null} box */
  commit(label, box) {
    const step = this.photo?.history.commit(label, box);
    if (step) this.#tell(label);
    return step ?? null;
  }

  /** Paint a whole new alpha, as one step. @param {string} label @param {Plane} plane */
  replace(label, plane) {
    const { alpha } = this.planes;
    alpha.data.set(plane.data);
    const step = this.commit(label, wholeOf(alpha));
    for (const tile of step?.tiles ?? []) this.touch(boxOfTile(alpha, tile.index));
    return step;
  }

  /** @returns {string | null} what was undone */
  undo() {
    return this.#move(this.photo?.history.undo());
  }

  /** @returns {string | null} */
  redo() {
    return this.#move(this.photo?.history.redo());
  }

  /** @param {{label: string, box: Rectangle} | null | undefined} step */
  #move(step) {
    if (!step) return null;
    this.touch(step.box);
    this.#tell(step.label);
    return step.label;
  }

  /** @param {string} label */
  #tell(label) {
    this.dispatchEvent(new CustomEvent("change", { detail: label }));
  }
}
