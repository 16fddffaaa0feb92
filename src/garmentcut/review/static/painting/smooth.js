import { copyPlane } from "./plane.js";

/** @typedef {import("./plane.js").Plane} Plane */

const WEIGHTS = [1, 6, 15, 20, 15, 6, 1]; // binomial, of 64: a Gaussian of sigma 1.22 px
const REACH = 3;
const STEEPEN = 2; // makes a blurred edge about as sharp as it was

/**
 * Take the steps out of an edge: blur, then steepen around one half. Only where both garment and background are within
 * three pixels: sheer cloth, which is neither, stays as it is.
 *
 * @param {Plane} plane is not changed
 * @returns {Plane}
 */
export function smooth(plane) {
  const result = copyPlane(plane);
  const window = new Uint8Array((2 * REACH + 1) ** 2);
  for (let y = 0; y < plane.height; y++) {
    for (let x = 0; x < plane.width; x++) {
      const i = y * plane.width + x;
      if (!mayBeEdge(plane, x, y, i)) continue;
      readWindow(plane, x, y, window);
      if (!isEdge(window)) continue;
      const value = 127.5 + (blurred(window) - 127.5) * STEEPEN;
      result.data[i] = Math.min(255, Math.max(0, Math.round(value)));
    }
  }
  return result;
}

/** A quick no for nearly all pixels: corners and middles of the window equal. @param {Plane} plane @param {number} x @param {number} y @param {number} i */
function mayBeEdge({ width, height, data }, x, y, i) {
  const value = data[i];
  const left = Math.min(x, REACH);
  const right = Math.min(width - 1 - x, REACH);
  const up = Math.min(y, REACH) * width;
  const down = Math.min(height - 1 - y, REACH) * width;
  return (
    data[i - left] !== value || data[i + right] !== value || data[i - up] !== value || data[i + down] !== value ||
    data[i - up - left] !== value || data[i - up + right] !== value ||
    data[i + down - left] !== value || data[i + down + right] !== value
  );
}

/** The pixels around one; beyond the frame the border goes on. @param {Plane} plane @param {number} x @param {number} y @param {Uint8Array} window */
function readWindow({ width, height, data }, x, y, window) {
  let k = 0;
  for (let dy = -REACH; dy <= REACH; dy++) {
    const row = Math.min(height - 1, Math.max(0, y + dy)) * width;
    for (let dx = -REACH; dx <= REACH; dx++) window[k++] = data[row + Math.min(width - 1, Math.max(0, x + dx))];
  }
}

/** @param {Uint8Array} window */
function isEdge(window) {
  let low = 255;
  let high = 0;
  for (const value of window) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= 12 && high >= 243;
}

/** @param {Uint8Array} window */
function blurred(window) {
  let sum = 0;
  for (let row = 0, k = 0; row < WEIGHTS.length; row++) {
    for (let column = 0; column < WEIGHTS.length; column++) sum += WEIGHTS[row] * WEIGHTS[column] * window[k++];
  }
  return sum / 4096;
}
