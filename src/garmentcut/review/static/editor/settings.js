/**
 * @typedef {object} Settings of the brushes and of the view; the same for all photos
 * @property {number} size diameter of the brush in pixels of the photo
 * @property {number} hardness in [0, 1]
 * @property {number} strength in [0, 1]: how much of the way to garment or background a stroke goes
 * @property {string} look
 */

const KEY = "garmentcut-editor";
const FIRST = { size: 24, hardness: 0.8, strength: 1, look: "checks" };
export const SIZE_RANGE = [1, 600];

/** Settings as they were left, in this browser. @returns {Settings} */
export function loadSettings() {
  try {
    return { ...FIRST, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
  } catch {
    return { ...FIRST };
  }
}

/** @param {Settings} settings */
export function keepSettings(settings) {
  localStorage.setItem(KEY, JSON.stringify(settings));
}

/**
 * The next larger or smaller brush: by a pixel while it is small, then by an eighth.
 *
 * @param {number} size
 * @param {1 | -1} direction
 */
export function nextSize(size, direction) {
  const step = Math.max(1, Math.round(size / 8));
  return bounded(size + direction * step, SIZE_RANGE[0], SIZE_RANGE[1]);
}

/** @param {number} value @param {number} low @param {number} high */
export function bounded(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
