/**
 * @typedef {import("./plane.js").Plane} Plane
 */

/**
 * Pixels near which the alpha changes: all others stay what they are when an edge moves by a pixel.
 *
 * @param {Plane} plane
 * @returns {Uint32Array} their places, rising
 */
export function rimOf(plane) {
  const { width, height, data } = plane;
  const found = new Uint32Array(data.length);
  let count = 0;
  for (let y = 0; y < height; y++) {
    const above = y > 0 ? -width : 0;
    const below = y < height - 1 ? width : 0;
    for (let x = 0, i = y * width; x < width; x++, i++) {
      const value = data[i];
      const left = x > 0 ? -1 : 0;
      const right = x < width - 1 ? 1 : 0;
      const even =
        data[i + left] === value &&
        data[i + right] === value &&
        data[i + above] === value &&
        data[i + below] === value &&
        data[i + above + left] === value &&
        data[i + above + right] === value &&
        data[i + below + left] === value &&
        data[i + below + right] === value;
      if (!even) found[count++] = i;
    }
  }
  return found.slice(0, count);
}
