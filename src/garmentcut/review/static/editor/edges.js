import { choke } from "../painting/choke.js";
import { smooth } from "../painting/smooth.js";

/** @typedef {import("./easel.js").Easel} Easel */

/**
 * Moves of the whole edge. Presses in a row are one step: each computes the sum of all from where the first began, since
 * an edge moved eight times by a quarter pixel would be softer than one moved once by two.
 */
export class Edges {
  /** @param {Easel} easel */
  constructor(easel) {
    this.easel = easel;
    /** @type {import("../painting/history.js").Step | null} */
    this.step = null;
    this.distance = 0;
  }

  /**
   * @param {number} distance pixels; positive: inwards
   * @returns {number} how far in all
   */
  move(distance) {
    const history = this.easel.photo?.history;
    if (!history) return 0;
    const goesOn = this.step !== null && history.done.at(-1) === this.step;
    this.distance = (goesOn ? this.distance : 0) + distance;
    if (goesOn) this.easel.undo();
    this.step = this.easel.replace(`Edge ${describe(this.distance)}`, choke(this.easel.planes.settled, this.distance));
    return this.distance;
  }

  /** Take the steps out of the edge. @returns {boolean} false if it has none */
  smooth() {
    return this.easel.replace("Smooth edge", smooth(this.easel.planes.settled)) !== null;
  }
}

/** @param {number} distance */
export function describe(distance) {
  return distance === 0 ? "as it was" : `${Math.abs(distance).toFixed(2)} px ${distance > 0 ? "in" : "out"}`;
}
