import { drawCorner, drawLine } from "./lines.js";
import { fill } from "./lasso.js";
import { Tool } from "./tool.js";

/** @typedef {import("./tool.js").Touch} Touch */

const CLOSE_PX = 9; // on the screen: a click this near to the first corner closes

/**
 * Straight lines from click to click. Enter, or a click on the first corner, closes; Alt held then takes away.
 */
export class PolygonTool extends Tool {
  /** @param {import("../easel.js").Easel} easel */
  constructor(easel) {
    super(easel);
    /** @type {Touch[]} */
    this.corners = [];
    /** @type {Touch | null} */
    this.next = null;
    this.subtract = false;
  }

  /** @param {Touch} touch */
  begin(touch) {
    if (!this.corners.length) this.subtract = touch.alt;
    if (this.corners.length > 2 && this.#isNear(touch, this.corners[0])) return this.close();
    // The second press of a double click closes too: it comes where the last corner is.
    if (this.corners.length > 2 && this.#isNear(touch, /** @type {Touch} */ (this.corners.at(-1)))) return this.close();
    this.isBusy = true;
    this.corners.push(touch);
    this.easel.stage.redraw();
  }

  /** @param {Touch} touch */
  hover(touch) {
    if (!this.corners.length) return;
    this.next = touch;
    this.easel.stage.redraw();
  }

  close() {
    const { corners, subtract } = this;
    this.cancel();
    if (corners.length > 2) fill(this.easel, corners, { label: "Polygon", subtract });
  }

  stepBack() {
    if (!this.corners.pop()) return false;
    this.isBusy = this.corners.length > 0;
    this.easel.stage.redraw();
    return true;
  }

  cancel() {
    this.isBusy = false;
    this.corners = [];
    this.next = null;
    this.easel.stage.redraw();
  }

  /** @param {CanvasRenderingContext2D} drawing */
  draw(drawing) {
    if (!this.corners.length) return;
    const { viewport } = this.easel.stage;
    const points = this.corners.map((corner) => viewport.toScreen(corner));
    drawLine(drawing, this.next ? [...points, viewport.toScreen(this.next)] : points, { closes: points.length > 1 });
    for (const point of points) drawCorner(drawing, point);
  }

  /** @param {Touch} one @param {Touch} other */
  #isNear(one, other) {
    const limit = (CLOSE_PX * devicePixelRatio) / this.easel.stage.viewport.scale;
    return Math.hypot(one.x - other.x, one.y - other.y) <= limit;
  }
}
