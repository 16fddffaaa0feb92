/** @typedef {import("./plane.js").Plane} Plane */

const OTHERS = 1;
const KEPT = 2;

/**
 * Keep the connected part at a pixel; all other parts go, each with its own soft rim. Soft pixels belong to the nearest
 * part through which they hang together; those that hang on no part go.
 *
 * @param {Plane} plane is not changed
 * @param {number} x
 * @param {number} y
 * @returns {Plane | null} null if there is no garment at the pixel
 */
export function keepPart(plane, x, y) {
  const start = y * plane.width + x;
  if (plane.data[start] < 128) return null;
  const owner = new Uint8Array(plane.data.length);
  const queue = new Uint32Array(plane.data.length);
  let size = spread(plane, { owner, queue, size: 0, mark: KEPT, lowest: 128, start });
  for (let i = 0; i < owner.length; i++) {
    if (owner[i] || plane.data[i] < 128) continue;
    owner[i] = OTHERS;
    queue[size++] = i;
  }
  growTogether(plane, owner, queue, size);
  const data = plane.data.map((value, i) => (owner[i] === KEPT ? value : 0));
  return { ...plane, data };
}

/**
 * Mark what hangs together with a pixel.
 *
 * @param {Plane} plane
 * @param {{owner: Uint8Array, queue: Uint32Array, size: number, mark: number, lowest: number, start: number}} search
 * @returns {number} how many pixels the queue holds now
 */
function spread(plane, { owner, queue, size, mark, lowest, start }) {
  let read = size;
  owner[start] = mark;
  queue[size++] = start;
  while (read < size) size = visit(plane, { owner, queue, size, lowest, from: queue[read++] });
  return size;
}

/** Let all parts grow through soft pixels, one pixel at a time. @param {Plane} plane @param {Uint8Array} owner @param {Uint32Array} queue @param {number} size */
function growTogether(plane, owner, queue, size) {
  for (let read = 0; read < size; read++) size = visit(plane, { owner, queue, size, lowest: 1, from: queue[read] });
}

/**
 * Give a pixel's up to eight neighbours, where nobody owns them, its own mark, and queue them.
 *
 * @param {Plane} plane
 * @param {{owner: Uint8Array, queue: Uint32Array, size: number, lowest: number, from: number}} search
 * @returns {number} how many pixels the queue holds now
 */
function visit({ width, height, data }, { owner, queue, size, lowest, from }) {
  const x = from % width;
  const y = (from - x) / width;
  const right = x < width - 1 ? 1 : 0;
  const below = y < height - 1 ? 1 : 0;
  for (let dy = y > 0 ? -1 : 0; dy <= below; dy++) {
    for (let dx = x > 0 ? -1 : 0; dx <= right; dx++) {
      const i = from + dy * width + dx;
      if (owner[i] || data[i] < lowest) continue;
      owner[i] = owner[from];
      queue[size++] = i;
    }
  }
  return size;
}
