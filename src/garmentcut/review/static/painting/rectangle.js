/**
 * Whole pixels from (x0, y0) up to, not including, (x1, y1): the order of `box_xyxy`.
 *
 * @typedef {{x0: number, y0: number, x1: number, y1: number}} Rectangle
 */

/** @param {{width: number, height: number}} size @returns {Rectangle} */
export function wholeOf({ width, height }) {
  return { x0: 0, y0: 0, x1: width, y1: height };
}

/**
 * The smallest rectangle around both; null stands for nothing.
 *
 * @param {Rectangle | null} one
 * @param {Rectangle | null} other
 * @returns {Rectangle | null}
 */
export function unite(one, other) {
  if (!one || !other) return one ?? other;
  return {
    x0: Math.min(one.x0, other.x0),
    y0: Math.min(one.y0, other.y0),
    x1: Math.max(one.x1, other.x1),
    y1: Math.max(one.y1, other.y1),
  };
}

/**
 * Whole pixels around a rectangle, `margin` wider on every side, within the frame; null if nothing is left.
 *
 * @param {Rectangle} box may have fractions
 * @param {{width: number, height: number}} frame
 * @param {number} [margin]
 * @returns {Rectangle | null}
 */
export function within(box, frame, margin = 0) {
  const x0 = Math.max(0, Math.floor(box.x0 - margin));
  const y0 = Math.max(0, Math.floor(box.y0 - margin));
  const x1 = Math.min(frame.width, Math.ceil(box.x1 + margin));
  const y1 = Math.min(frame.height, Math.ceil(box.y1 + margin));
  return x0 < x1 && y0 < y1 ? { x0, y0, x1, y1 } : null;
}

/**
 * Around points.
 *
 * @param {{x: number, y: number}[]} points
 * @returns {Rectangle}
 */
export function around(points) {
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  return { x0: Math.min(...xs), y0: Math.min(...ys), x1: Math.max(...xs), y1: Math.max(...ys) };
}
