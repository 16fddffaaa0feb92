/**
 * Squares of 64 pixels in which changes are kept. A packed tile of garment edge takes about 600 bytes instead of 4096,
 * one of nothing but garment or background takes two.
 */

export const TILE = 64;

/**
 * @typedef {import("./plane.js").Plane} Plane
 * @typedef {import("./rectangle.js").Rectangle} Rectangle
 */

/** How many tiles stand side by side. @param {{width: number}} plane */
function columnsOf(plane) {
  return Math.ceil(plane.width / TILE);
}

/**
 * Pixels of a tile; those at the right and lower border may be smaller.
 *
 * @param {{width: number, height: number}} plane
 * @param {number} index
 * @returns {Rectangle}
 */
export function boxOfTile(plane, index) {
  const columns = columnsOf(plane);
  const x0 = (index % columns) * TILE;
  const y0 = Math.floor(index / columns) * TILE;
  return { x0, y0, x1: Math.min(x0 + TILE, plane.width), y1: Math.min(y0 + TILE, plane.height) };
}

/**
 * Tiles that a rectangle touches.
 *
 * @param {{width: number, height: number}} plane
 * @param {Rectangle} box within the plane
 * @returns {number[]}
 */
export function tilesUnder(plane, box) {
  const columns = columnsOf(plane);
  const indices = [];
  for (let row = Math.floor(box.y0 / TILE); row * TILE < box.y1; row++) {
    for (let column = Math.floor(box.x0 / TILE); column * TILE < box.x1; column++) indices.push(row * columns + column);
  }
  return indices;
}

/**
 * True if two planes of one size differ in a rectangle.
 *
 * @param {Plane} one
 * @param {Plane} other
 * @param {Rectangle} box
 */
export function differ(one, other, box) {
  for (let y = box.y0; y < box.y1; y++) {
    const end = y * one.width + box.x1;
    for (let i = y * one.width + box.x0; i < end; i++) if (one.data[i] !== other.data[i]) return true;
  }
  return false;
}

/**
 * Copy a rectangle from one plane to the same place in another.
 *
 * @param {Plane} from
 * @param {Plane} to
 * @param {Rectangle} box
 */
export function copyBox(from, to, box) {
  for (let y = box.y0; y < box.y1; y++) {
    const start = y * from.width;
    to.data.set(from.data.subarray(start + box.x0, start + box.x1), start + box.x0);
  }
}
