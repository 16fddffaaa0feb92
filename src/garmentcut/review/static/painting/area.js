import { around, within } from "./rectangle.js";

/**
 * @typedef {import("./plane.js").Plane} Plane
 * @typedef {import("./rectangle.js").Rectangle} Rectangle
 */

/**
 * Add a closed line's inside to the alpha, or take it away, its edge antialiased by the browser's own rasteriser.
 *
 * @param {Plane} settled the alpha before
 * @param {Plane} plane the alpha to write
 * @param {{x: number, y: number}[]} points in pixels of the photo
 * @param {boolean} subtract
 * @returns {Rectangle | null} where it may have changed
 */
export function fillArea(settled, plane, points, subtract) {
  const box = points.length < 3 ? null : within(around(points), plane, 1);
  if (!box) return null;
  const pixels = rasterise(points, box);
  const target = subtract ? 0 : 255;
  const width = box.x1 - box.x0;
  for (let y = box.y0; y < box.y1; y++) {
    for (let x = box.x0; x < box.x1; x++) {
      const i = y * plane.width + x;
      const coverage = pixels[((y - box.y0) * width + x - box.x0) * 4 + 3] / 255;
      plane.data[i] = settled.data[i] + (target - settled.data[i]) * coverage + 0.5;
    }
  }
  return box;
}

/** RGBA of the filled line; the fourth is its coverage. @param {{x: number, y: number}[]} points @param {Rectangle} box */
function rasterise(points, box) {
  const canvas = new OffscreenCanvas(box.x1 - box.x0, box.y1 - box.y0);
  const drawing = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  drawing.beginPath();
  for (const point of points) drawing.lineTo(point.x - box.x0, point.y - box.y0);
  drawing.closePath();
  drawing.fill("evenodd");
  return drawing.getImageData(0, 0, canvas.width, canvas.height).data;
}
