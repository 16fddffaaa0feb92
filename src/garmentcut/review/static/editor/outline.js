import { boxOfTile, tilesUnder } from "../painting/tiles.js";
import { within } from "../painting/rectangle.js";

/**
 * @typedef {import("../painting/plane.js").Plane} Plane
 * @typedef {import("../painting/rectangle.js").Rectangle} Rectangle
 */

const HALF = 127.5;

/**
 * The line at which the garment covers one half of a pixel, between the pixels; kept by tiles, since strokes change few.
 */
export class Outline {
  /** @param {Plane} alpha */
  constructor(alpha) {
    this.alpha = alpha;
    /** @type {Map<number, Path2D>} */
    this.paths = new Map();
  }

  /** @param {Rectangle} box in which the alpha changed */
  forget(box) {
    const wider = within(box, this.alpha, 1);
    if (wider) for (const index of tilesUnder(this.alpha, wider)) this.paths.delete(index);
  }

  /**
   * @param {CanvasRenderingContext2D} target clipped to what is to be drawn
   * @param {{scale: number, left: number, top: number}} view
   * @param {Rectangle} box pixels of the photo in sight
   */
  draw(target, { scale, left, top }, box) {
    const all = new Path2D();
    for (const index of tilesUnder(this.alpha, box)) all.addPath(this.#pathOf(index));
    target.setTransform(scale, 0, 0, scale, left, top);
    target.lineCap = "round";
    for (const [width, color] of /** @type {[number, string][]} */ ([[3, "rgb(0 0 0 / 65%)"], [1.25, "#fff"]])) {
      target.lineWidth = (width * devicePixelRatio) / scale;
      target.strokeStyle = color;
      target.stroke(all);
    }
    target.resetTransform();
  }

  /** @param {number} index */
  #pathOf(index) {
    let path = this.paths.get(index);
    if (!path) this.paths.set(index, (path = trace(this.alpha, boxOfTile(this.alpha, index))));
    return path;
  }
}

/**
 * Marching squares between the middles of pixels.
 *
 * @param {Plane} alpha
 * @param {Rectangle} box
 * @returns {Path2D} in pixels of the photo
 */
export function trace({ width, height, data }, box) {
  const path = new Path2D();
  const right = Math.min(box.x1, width - 1);
  const lower = Math.min(box.y1, height - 1);
  for (let y = box.y0; y < lower; y++) {
    for (let x = box.x0, i = y * width + x; x < right; x++, i++) {
      const isIn = data[i] > HALF;
      if (isIn === data[i + 1] > HALF && isIn === data[i + width + 1] > HALF && isIn === data[i + width] > HALF) continue;
      addCell(path, [data[i], data[i + 1], data[i + width + 1], data[i + width]], x + 0.5, y + 0.5);
    }
  }
  return path;
}

/** Join the crossings of a cell's four sides, two by two. @param {Path2D} path @param {number[]} corners @param {number} x @param {number} y */
function addCell(path, corners, x, y) {
  const inside = corners.map((value) => value > HALF);
  const share = (/** @type {number} */ from, /** @type {number} */ to) => (HALF - corners[from]) / (corners[to] - corners[from]);
  const crossings = [];
  if (inside[0] !== inside[1]) crossings.push([x + share(0, 1), y]);
  if (inside[1] !== inside[2]) crossings.push([x + 1, y + share(1, 2)]);
  if (inside[3] !== inside[2]) crossings.push([x + share(3, 2), y + 1]);
  if (inside[0] !== inside[3]) crossings.push([x, y + share(0, 3)]);
  for (let k = 0; k + 1 < crossings.length; k += 2) {
    path.moveTo(crossings[k][0], crossings[k][1]);
    path.lineTo(crossings[k + 1][0], crossings[k + 1][1]);
  }
}
