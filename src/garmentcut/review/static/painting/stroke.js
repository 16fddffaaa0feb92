import { unite, within } from "./plane.js";

/**
 * How strokes and closed lines change the alpha.
 *
 * @import { Plane, Rectangle } from "./plane.js"
 * @typedef {{x: number, y: number, radius: number}} Dab centre and radius in pixels of the photo
 * @typedef {{hardness: number, strength: number, erase: boolean}} Brush hardness and strength in [0, 1]
 */

/**
 * One stroke of a round brush. The coverage of a pixel is the maximum over all points of the path, so that it does not
 * accumulate where the stroke crosses itself or moves slowly: it depends only on brush and path.
 */
export class Stroke {
  /** @param {Plane} coverage all zero; cleared again by `finish` @param {Brush} brush */
  constructor(coverage, brush) {
    this.coverage = coverage;
    this.brush = brush;
    /** @type {Rectangle | null} all that was painted */
    this.box = null;
    /** @type {Dab | null} */
    this.last = null;
  }

  /** Continue to a point. @param {Dab} dab @returns {Rectangle | null} around the pixels whose coverage changed: the leading edge of a wide brush */
  extend(dab) {
    const box = coverSegment(this.coverage, this.last ?? dab, dab, this.brush.hardness);
    this.last = dab;
    this.box = unite(this.box, box);
    return box;
  }

  /** Apply the stroke to the alpha. @param {Plane} settled the alpha before the stroke @param {Plane} plane the alpha to write @param {Rectangle} box where */
  blend(settled, plane, box) {
    const target = this.brush.erase ? 0 : 255;
    const weight = this.brush.strength / 255;
    for (let y = box.y0; y < box.y1; y++) {
      const end = y * plane.width + box.x1;
      for (let i = y * plane.width + box.x0; i < end; i++) {
        const before = settled.data[i];
        plane.data[i] = before + (target - before) * this.coverage.data[i] * weight + 0.5;
      }
    }
  }

  /** Clear the coverage for the next stroke. */
  finish() {
    if (!this.box) return;
    const { width, data } = this.coverage;
    for (let y = this.box.y0; y < this.box.y1; y++) data.fill(0, y * width + this.box.x0, y * width + this.box.x1);
  }
}

/**
 * Raise coverage along a straight segment of a stroke.
 *
 * @param {number} hardness 1: an edge one pixel soft; 0: soft from the centre
 * @returns {Rectangle | null} around what was raised
 */
export function coverSegment(coverage, from, to, hardness) {
  const reach = Math.max(from.radius, to.radius) + 1;
  const ends = { x0: Math.min(from.x, to.x), y0: Math.min(from.y, to.y), x1: Math.max(from.x, to.x), y1: Math.max(from.y, to.y) };
  const box = within(ends, coverage, reach);
  if (!box) return null;
  const { width, data } = coverage;
  const alongX = to.x - from.x;
  const alongY = to.y - from.y;
  const squared = alongX * alongX + alongY * alongY;
  const perLength = squared > 0 ? 1 / squared : 0;
  const raised = { x0: width, y0: box.y1, x1: 0, y1: 0 };
  for (let y = box.y0; y < box.y1; y++) {
    const fromY = y + 0.5 - from.y;
    for (let x = box.x0, i = y * width + box.x0; x < box.x1; x++, i++) {
      if (data[i] === 255) continue;
      const fromX = x + 0.5 - from.x;
      const share = (fromX * alongX + fromY * alongY) * perLength;
      const part = share < 0 ? 0 : share > 1 ? 1 : share; // the nearest point of the segment
      const radius = from.radius + (to.radius - from.radius) * part;
      const offX = fromX - alongX * part;
      const offY = fromY - alongY * part;
      const offSquared = offX * offX + offY * offY;
      if (offSquared >= (radius + 0.5) * (radius + 0.5)) continue;
      const value = Math.round(255 * falloff(Math.sqrt(offSquared), radius, hardness));
      if (value <= data[i]) continue;
      data[i] = value;
      if (x < raised.x0) raised.x0 = x;
      if (x >= raised.x1) raised.x1 = x + 1;
      if (y < raised.y0) raised.y0 = y;
      raised.y1 = y + 1;
    }
  }
  return raised.x1 > raised.x0 ? raised : null;
}

/** Coverage, in [0, 1], at a distance from the path: half at the radius of a hard brush. @param {number} distance @param {number} radius both in pixels @param {number} hardness */
export function falloff(distance, radius, hardness) {
  const soft = Math.max(1, radius * (1 - hardness));
  const share = (radius + 0.5 - distance) / soft;
  if (share >= 1) return 1;
  if (share <= 0) return 0;
  return soft === 1 ? share : share * share * (3 - 2 * share);
}

/**
 * Add the inside of a closed line to the alpha, or subtract it, antialiased by the browser's rasteriser.
 *
 * @param {Plane} settled the alpha before
 * @param {Plane} plane the alpha to write
 * @param {{x: number, y: number}[]} points of the line, three or more
 * @returns {Rectangle | null} where it may have changed
 */
export function fillArea(settled, plane, points, subtract) {
  const box = within(around(points), plane, 1);
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

/** RGBA of the filled line; A is its coverage. @param {{x: number, y: number}[]} points @param {Rectangle} box */
function rasterise(points, box) {
  const canvas = new OffscreenCanvas(box.x1 - box.x0, box.y1 - box.y0);
  const drawing = canvas.getContext("2d", { willReadFrequently: true });
  drawing.beginPath();
  for (const point of points) drawing.lineTo(point.x - box.x0, point.y - box.y0);
  drawing.closePath();
  drawing.fill("evenodd");
  return drawing.getImageData(0, 0, canvas.width, canvas.height).data;
}

function around(points) {
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  return { x0: Math.min(...xs), y0: Math.min(...ys), x1: Math.max(...xs), y1: Math.max(...ys) };
}
