import { copyPlane } from "./plane.js";
import { rimOf } from "./rim.js";

/** @typedef {import("./plane.js").Plane} Plane */

// Sixteen directions: an edge at the worst angle between two of them moves 2 % less than asked.
const DIRECTIONS = Array.from({ length: 16 }, (_, k) => [Math.cos((k * Math.PI) / 8), Math.sin((k * Math.PI) / 8)]);

/**
 * Move the garment's edge inwards, or outwards, keeping how soft it is.
 *
 * The lowest (outwards: highest) of the alphas that stand `distance` away in sixteen directions, each interpolated:
 * a grey-scale erosion by a circle whose radius may be a fraction of a pixel. Longer ways are walked pixel by pixel.
 *
 * @param {Plane} plane is not changed
 * @param {number} distance pixels; negative: outwards
 * @returns {Plane}
 */
export function choke(plane, distance) {
  let moved = plane;
  for (let rest = Math.abs(distance); rest > 1e-6; rest -= 1) moved = step(moved, Math.min(rest, 1), distance > 0);
  return moved === plane ? copyPlane(plane) : moved;
}

/**
 * @param {Plane} plane
 * @param {number} reach in (0, 1]
 * @param {boolean} inwards
 * @returns {Plane}
 */
function step(plane, reach, inwards) {
  const result = copyPlane(plane);
  const samples = DIRECTIONS.map(([x, y]) => ({ x: x * reach, y: y * reach }));
  for (const i of rimOf(plane)) {
    const x = i % plane.width;
    const y = (i - x) / plane.width;
    let extreme = plane.data[i];
    for (const sample of samples) {
      const value = interpolate(plane, x + sample.x, y + sample.y);
      if (inwards ? value < extreme : value > extreme) extreme = value;
    }
    result.data[i] = Math.round(extreme);
  }
  return result;
}

/**
 * Alpha between four pixels; beyond the frame the border goes on.
 *
 * @param {Plane} plane
 * @param {number} x
 * @param {number} y
 */
function interpolate({ width, height, data }, x, y) {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const x0 = left < 0 ? 0 : left;
  const x1 = left + 1 < width ? left + 1 : width - 1;
  const y0 = (top < 0 ? 0 : top) * width;
  const y1 = (top + 1 < height ? top + 1 : height - 1) * width;
  const upper = data[y0 + x0] + (data[y0 + x1] - data[y0 + x0]) * (x - left);
  const lower = data[y1 + x0] + (data[y1 + x1] - data[y1 + x0]) * (x - left);
  return upper + (lower - upper) * (y - top);
}
