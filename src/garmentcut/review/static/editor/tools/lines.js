/**
 * @typedef {{x: number, y: number}} Point
 */

/**
 * A line that is seen on any ground: dark below, light above, with dashes for what is only planned.
 *
 * @param {CanvasRenderingContext2D} drawing
 * @param {Point[]} points in pixels of the canvas
 * @param {{closes?: boolean}} [how] closes: a dashed line goes from the last point back to the first
 */
export function drawLine(drawing, points, { closes = false } = {}) {
  if (!points.length) return;
  const path = new Path2D();
  for (const { x, y } of points) path.lineTo(x, y);
  strokeTwice(drawing, path);
  if (!closes) return;
  const closing = new Path2D();
  const last = /** @type {Point} */ (points.at(-1));
  closing.moveTo(last.x, last.y);
  closing.lineTo(points[0].x, points[0].y);
  drawing.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  strokeTwice(drawing, closing);
  drawing.setLineDash([]);
}

/** A corner that can be clicked. @param {CanvasRenderingContext2D} drawing @param {Point} point */
export function drawCorner(drawing, { x, y }) {
  const half = 3.5 * devicePixelRatio;
  drawing.fillStyle = "#fff";
  drawing.strokeStyle = "#000";
  drawing.lineWidth = devicePixelRatio;
  drawing.fillRect(x - half, y - half, 2 * half, 2 * half);
  drawing.strokeRect(x - half, y - half, 2 * half, 2 * half);
}

/** @param {CanvasRenderingContext2D} drawing @param {Path2D} path */
function strokeTwice(drawing, path) {
  drawing.lineWidth = 3 * devicePixelRatio;
  drawing.strokeStyle = "rgb(0 0 0 / 65%)";
  drawing.stroke(path);
  drawing.lineWidth = 1.25 * devicePixelRatio;
  drawing.strokeStyle = "#fff";
  drawing.stroke(path);
}
