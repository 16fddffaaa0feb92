import { copyPlane } from "./plane.js";

/**
 * @typedef {import("./plane.js").Plane} Plane
 */

const SOFT_RIM_PX = 4;

/**
 * Fill the hole at a pixel, its soft rim too.
 *
 * @param {Plane} plane is not changed
 * @param {number} x
 * @param {number} y
 * @returns {Plane | "garment" | "background"} why not: the pixel is no hole, or the hole reaches the frame's border
 */
export function fillHole(plane, x, y) {
  const { width, data } = plane;
  if (data[y * width + x] >= 128) return "garment";
  const inside = floodBelow(plane, y * width + x);
  if (!inside) return "background";
  const result = copyPlane(plane);
  const filled = result.data;
  let front = inside;
  for (const i of inside) filled[i] = 255;
  // The rim climbs towards the garment; going uphill only, it does not leak along another edge.
  for (let step = 0; step < SOFT_RIM_PX && front.length; step++) {
    const next = [];
    for (const i of front) {
      for (const j of [i - 1, i + 1, i - width, i + width]) {
        if (filled[j] === 255 || data[j] < data[i]) continue;
        filled[j] = 255;
        next.push(j);
      }
    }
    front = next;
  }
  return result;
}

/**
 * Pixels below one half that hang together with one, side by side.
 *
 * @param {Plane} plane
 * @param {number} start
 * @returns {number[] | null} null if they reach the border
 */
function floodBelow({ width, height, data }, start) {
  const seen = new Uint8Array(data.length);
  const found = [start];
  seen[start] = 1;
  for (let read = 0; read < found.length; read++) {
    const i = found[read];
    const x = i % width;
    if (x === 0 || x === width - 1 || i < width || i >= width * (height - 1)) return null;
    for (const j of [i - 1, i + 1, i - width, i + width]) {
      if (seen[j] || data[j] >= 128) continue;
      seen[j] = 1;
      found.push(j);
    }
  }
  return found;
}
