import { copyPlane } from "./plane.js";

/**
 * Edits of a whole alpha: moving or smoothing its edge, filling a hole, keeping one component. They do not modify their argument.
 *
 * @import { Plane } from "./plane.js"
 */

// Sixteen directions: an edge at the worst angle between two of them moves 2 % less than requested.
const DIRECTIONS = Array.from({ length: 16 }, (_, k) => ({ x: Math.cos((k * Math.PI) / 8), y: Math.sin((k * Math.PI) / 8) }));

/**
 * Move the garment's edge inwards or outwards without changing its softness.
 *
 * Takes the lowest (outwards: highest) of the interpolated alphas `distance` away in sixteen directions: a grey-scale
 * erosion by a circle whose radius may be a fraction of a pixel. Larger distances are done in steps of one pixel.
 *
 * @param {number} distance pixels; negative: outwards
 */
export function choke(plane, distance) {
  let moved = plane;
  for (let rest = Math.abs(distance); rest > 1e-6; rest -= 1) moved = chokeStep(moved, Math.min(rest, 1), distance > 0);
  return moved === plane ? copyPlane(plane) : moved;
}

/** @param {Plane} plane @param {number} reach in (0, 1] @param {boolean} inwards @returns {Plane} */
function chokeStep(plane, reach, inwards) {
  const result = copyPlane(plane);
  for (const i of unevenIn(plane, 1)) {
    const x = i % plane.width;
    const y = (i - x) / plane.width;
    let extreme = plane.data[i];
    for (const direction of DIRECTIONS) {
      const value = interpolate(plane, x + direction.x * reach, y + direction.y * reach);
      if (inwards ? value < extreme : value > extreme) extreme = value;
    }
    result.data[i] = Math.round(extreme);
  }
  return result;
}

/** Pixels that differ from a corner or a side's middle of the window around them, which are few. @param {Plane} plane @param {number} reach pixels */
function unevenIn({ width, height, data }, reach) {
  const found = new Uint32Array(data.length);
  let count = 0;
  for (let y = 0, i = 0; y < height; y++) {
    const up = Math.min(y, reach) * width;
    const down = Math.min(height - 1 - y, reach) * width;
    for (let x = 0; x < width; x++, i++) {
      const value = data[i];
      const left = x < reach ? x : reach;
      const right = x + reach < width ? reach : width - 1 - x;
      const isEven =
        data[i - left] === value && data[i + right] === value && data[i - up] === value && data[i + down] === value &&
        data[i - up - left] === value && data[i - up + right] === value &&
        data[i + down - left] === value && data[i + down + right] === value;
      if (!isEven) found[count++] = i;
    }
  }
  return found.subarray(0, count);
}

/** Alpha interpolated between four pixels; the border is repeated outside the frame. @param {Plane} plane @param {number} x @param {number} y */
function interpolate({ width, height, data }, x, y) {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const x0 = left < 0 ? 0 : left;
  const x1 = left + 1 < width ? left + 1 : width - 1;
  const y0 = (top < 0 ? 0 : top) * width;
  const y1 = (top + 1 < height ? top + 1 : height - 1) * width;
  const upper = data[y0 + x0] + (data[y0 + x1] - data[y0 + x0]) * (x - left);
  const lower = data[y1 + x0] + (data[y1 + x1] - data[y1 + x0]) * (x - left);
  return upper + (lower - upper) * (y - top);
}

const WEIGHTS = [1, 6, 15, 20, 15, 6, 1]; // binomial, of 64: a Gaussian of sigma 1.22 px
const REACH = 3;
const STEEPEN = 2; // makes a blurred edge about as sharp as before

/**
 * Smooth jagged edges: blur, then steepen around one half. Only where both garment and background are within three pixels,
 * so that sheer cloth, which is neither, is not changed.
 */
export function smooth(plane) {
  const result = copyPlane(plane);
  for (const i of unevenIn(plane, REACH)) {
    const mean = edgeMean(plane, i % plane.width, Math.floor(i / plane.width));
    if (mean !== null) result.data[i] = Math.min(255, Math.max(0, Math.round(127.5 + (mean - 127.5) * STEEPEN)));
  }
  return result;
}

/** The weighted mean around a pixel; the border is repeated outside the frame. @param {Plane} plane @param {number} x @param {number} y @returns {number | null} null: no edge is near */
function edgeMean({ width, height, data }, x, y) {
  let [low, high, sum] = [255, 0, 0];
  for (let dy = -REACH; dy <= REACH; dy++) {
    const row = Math.min(height - 1, Math.max(0, y + dy)) * width;
    for (let dx = -REACH; dx <= REACH; dx++) {
      const value = data[row + Math.min(width - 1, Math.max(0, x + dx))];
      if (value < low) low = value;
      if (value > high) high = value;
      sum += WEIGHTS[dy + REACH] * WEIGHTS[dx + REACH] * value;
    }
  }
  return low <= 12 && high >= 243 ? sum / 4096 : null;
}

const SOFT_EDGE_PX = 4;
const GAP_PX = 4;
const LONGEST_END_PX = 24;
const OPAQUE = 250;

/**
 * Fill the hole at a pixel with its soft edge, and with soft ends where a slit is so narrow that it only dims the cloth.
 *
 * @returns {Plane | string} the new alpha, or why not: the pixel is not in a hole, or the hole reaches the frame's border
 */
export function fillHole(plane, x, y) {
  const { width, height, data } = plane;
  if (data[y * width + x] >= 128) return "There is no hole here: this is garment.";
  const result = copyPlane(plane);
  const filled = result.data;
  const inside = [y * width + x];
  filled[inside[0]] = 255;
  for (const i of inside) {
    const isAtBorder = i % width === 0 || i % width === width - 1 || i < width || i >= width * (height - 1);
    if (isAtBorder) return "This is not a hole: it is open to the background. Close it with the brush first.";
    for (const j of [i - 1, i + 1, i - width, i + width]) {
      if (filled[j] >= 128) continue;
      filled[j] = 255;
      inside.push(j);
    }
  }
  // Alpha rises towards the garment; filling only uphill does not leak along other edges. Between opaque cloth it continues.
  for (let step = 0, front = inside; step < LONGEST_END_PX && front.length; step++) {
    const next = [];
    for (const i of front) {
      for (const j of [i - 1, i + 1, i - width, i + width]) {
        if (filled[j] === 255 || !(data[j] >= 128)) continue;
        if (!(step < SOFT_EDGE_PX && data[j] >= data[i]) && !isGap(plane, j)) continue;
        filled[j] = 255;
        next.push(j);
      }
    }
    front = next;
  }
  return result;
}

/** True if opaque cloth is near on two opposite sides of a pixel. @param {Plane} plane @param {number} i */
function isGap({ width, data }, i) {
  const isNear = (step) => {
    for (let k = 1; k <= GAP_PX; k++) if (data[i + k * step] >= OPAQUE) return true;
    return false;
  };
  return [1, width, width + 1, width - 1].some((step) => isNear(step) && isNear(-step));
}

const OTHERS = 1;
const KEPT = 2;

/**
 * Keep the connected component at a pixel, and remove all others with their soft edges. Soft pixels belong to the nearest
 * component that they are connected to; those connected to none are removed.
 *
 * @returns {Plane | string} the new alpha, or why not: there is no garment at the pixel
 */
export function keepComponent(plane, x, y) {
  const { width, height, data } = plane;
  const start = y * width + x;
  if (data[start] < 128) return "There is no garment here. Click on the part to keep.";
  const owner = new Uint8Array(data.length);
  const queue = new Uint32Array(data.length);
  let size = 0;
  const own = (i, mark) => ((owner[i] = mark), (queue[size++] = i));
  /** Flood fill: give the unmarked neighbours of all queued pixels their marks, one pixel at a time. */
  const spread = (lowest) => {
    for (let read = 0; read < size; read++) {
      const i = queue[read];
      const column = i % width;
      for (let dy = i < width ? 0 : -width; dy <= (i < width * (height - 1) ? width : 0); dy += width) {
        for (let dx = column > 0 ? -1 : 0; dx <= (column < width - 1 ? 1 : 0); dx++) {
          const j = i + dy + dx;
          if (!owner[j] && data[j] >= lowest) own(j, owner[i]);
        }
      }
    }
  };
  own(start, KEPT);
  spread(128);
  for (let i = 0; i < data.length; i++) if (data[i] >= 128 && !owner[i]) own(i, OTHERS);
  spread(1);
  return { width, height, data: data.map((value, i) => (owner[i] === KEPT ? value : 0)) };
}
