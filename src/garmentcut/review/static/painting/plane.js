/**
 * The alpha as it is painted: one byte a pixel, 0 background, 255 garment.
 *
 * @typedef {object} Plane
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Uint8Array} data row by row, `width * height`
 */

/**
 * @param {number} width
 * @param {number} height
 * @param {Uint8Array} [data]
 * @returns {Plane}
 */
export function makePlane(width, height, data = new Uint8Array(width * height)) {
  if (data.length !== width * height) throw new RangeError(`${data.length} bytes are not ${width}x${height}`);
  return { width, height, data };
}

/** @param {Plane} plane @returns {Plane} */
export function copyPlane({ width, height, data }) {
  return { width, height, data: data.slice() };
}

/**
 * A rectangle of a plane as a plane of its own.
 *
 * @param {Plane} plane
 * @param {import("./rectangle.js").Rectangle} box within the plane
 * @returns {Plane}
 */
export function cropPlane(plane, box) {
  const width = box.x1 - box.x0;
  const part = makePlane(width, box.y1 - box.y0);
  for (let y = box.y0; y < box.y1; y++) {
    const start = y * plane.width + box.x0;
    part.data.set(plane.data.subarray(start, start + width), (y - box.y0) * width);
  }
  return part;
}

/**
 * True if both hold the same alpha.
 *
 * @param {Plane} one
 * @param {Plane} other
 */
export function samePlane(one, other) {
  if (one.width !== other.width || one.data.length !== other.data.length) return false;
  for (let i = 0; i < one.data.length; i++) if (one.data[i] !== other.data[i]) return false;
  return true;
}

/**
 * The rectangle around what is garment, by half or more.
 *
 * @param {Plane} plane
 * @returns {import("./rectangle.js").Rectangle | null} null: there is none
 */
export function garmentIn({ width, height, data }) {
  const box = { x0: width, y0: height, x1: 0, y1: 0 };
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (data[i] < 128) continue;
      if (x < box.x0) box.x0 = x;
      if (x >= box.x1) box.x1 = x + 1;
      if (y < box.y0) box.y0 = y;
      box.y1 = y + 1;
    }
  }
  return box.x1 > 0 ? box : null;
}
