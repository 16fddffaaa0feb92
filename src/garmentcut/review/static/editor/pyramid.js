import { wholeOf } from "../painting/rectangle.js";

/** @typedef {import("../painting/rectangle.js").Rectangle} Rectangle */

const LEVELS = 4; // the photo, a half, a quarter, an eighth

/**
 * A picture with smaller copies of itself, kept up where it changes: small views are smooth, and a stroke seen from
 * afar costs no more than one seen at 100 %.
 */
export class Pyramid {
  constructor() {
    this.pixels = new ImageData(1, 1);
    this.levels = Array.from({ length: LEVELS }, () => new OffscreenCanvas(1, 1));
    this.drawings = this.levels.map((level) => /** @type {OffscreenCanvasRenderingContext2D} */ (level.getContext("2d", { alpha: false })));
  }

  /** Let it hold a picture of this size. @param {number} width @param {number} height */
  resize(width, height) {
    if (this.pixels.width === width && this.pixels.height === height) return;
    this.pixels = new ImageData(width, height);
    this.levels.forEach((level, k) => {
      level.width = Math.ceil(width / 2 ** k);
      level.height = Math.ceil(height / 2 ** k);
      this.drawings[k].imageSmoothingEnabled = true;
    });
  }

  /** Bring `pixels` into the canvases. @param {Rectangle} box what changed in them */
  update(box) {
    this.drawings[0].putImageData(this.pixels, 0, 0, box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0);
    let source = box;
    for (let k = 1; k < LEVELS; k++) {
      const from = this.levels[k - 1];
      // Whole pixels of the smaller copy, which are pairs of the larger one.
      const part = halved(source, this.levels[k]);
      const width = Math.min(2 * part.x1, from.width) - 2 * part.x0;
      const height = Math.min(2 * part.y1, from.height) - 2 * part.y0;
      this.drawings[k].drawImage(from, 2 * part.x0, 2 * part.y0, width, height, part.x0, part.y0, width / 2, height / 2);
      source = part;
    }
  }

  /** Bring all of `pixels` into the canvases. */
  updateAll() {
    this.update(wholeOf(this.pixels));
  }

  /**
   * Draw it.
   *
   * @param {CanvasRenderingContext2D} target clipped to what is to be drawn
   * @param {{scale: number, left: number, top: number}} view
   */
  draw(target, { scale, left, top }) {
    const k = Math.min(LEVELS - 1, Math.max(0, Math.floor(Math.log2(1 / scale) + 0.01)));
    target.imageSmoothingEnabled = scale < 1;
    target.setTransform(scale * 2 ** k, 0, 0, scale * 2 ** k, left, top);
    target.drawImage(this.levels[k], 0, 0);
    target.resetTransform();
  }
}

/** @param {Rectangle} box @param {{width: number, height: number}} level @returns {Rectangle} */
function halved(box, level) {
  return {
    x0: Math.floor(box.x0 / 2),
    y0: Math.floor(box.y0 / 2),
    x1: Math.min(level.width, Math.ceil(box.x1 / 2)),
    y1: Math.min(level.height, Math.ceil(box.y1 / 2)),
  };
}
