/**
 * A point of a pointer's path, in pixels of the photo.
 *
 * @typedef {object} Touch
 * @property {number} x
 * @property {number} y
 * @property {number} pressure in [0, 1]; 1 for devices that have none
 * @property {boolean} shift
 * @property {boolean} alt the opposite: erase instead of paint; a pen turned over does the same
 */

/**
 * What every tool can be asked. A tool that does not care leaves it as it is here.
 */
export class Tool {
  /** @param {import("../easel.js").Easel} easel */
  constructor(easel) {
    this.easel = easel;
    /** True if the cursor is the brush's circle. */
    this.isRound = false;
    /** True while a stroke or a line is not finished. */
    this.isBusy = false;
  }

  /** The pointer came down. @param {Touch} _touch */
  begin(_touch) {}

  /** It moved, down. @param {Touch[]} _touches since the last call */
  move(_touches) {}

  /** It moved, up. @param {Touch} _touch */
  hover(_touch) {}

  /** It went up. */
  end() {}

  /** Give up what is not finished. */
  cancel() {}

  /** Finish a line by key. */
  close() {}

  /** Take the last point back. @returns {boolean} false if there is none */
  stepBack() {
    return false;
  }

  /** Draw what is not finished. @param {CanvasRenderingContext2D} _drawing in pixels of the canvas */
  draw(_drawing) {}
}
