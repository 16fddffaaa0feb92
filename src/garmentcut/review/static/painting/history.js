import { copyBox, copyPlane, cropPlane, samePlane, unite, wholeOf } from "./plane.js";

/**
 * Unlimited undo and redo by tiles, squares of 64 x 64 pixels. A packed tile with garment edge takes about 600 bytes instead
 * of 4096, a tile of only garment or only background takes 64.
 *
 * @import { Plane, Rectangle } from "./plane.js"
 * @typedef {{index: number, packed: Uint8Array}} Tile
 * @typedef {{label: string, tiles: Tile[]}} Step what a change replaced
 */

const TILE = 64;
const LONGEST = 128; // bytes of a run

/** Each step holds the packed tiles that it replaced. Tools write to `plane`, read earlier values from `settled`, and call `commit`. */
export class History {
  constructor(plane) {
    this.plane = plane;
    /** The plane as it was after the last step. */
    this.settled = copyPlane(plane);
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
  }

  /**
   * Make a step of what was painted.
   *
   * @param {string} label what was done, for the message after undo
   * @param {Rectangle | null} box where
   * @returns {Step | null} null if nothing changed
   */
  commit(label, box) {
    const { plane, settled } = this;
    const changed = box ? tilesUnder(plane, box).filter((index) => !samePlane(plane, settled, boxOfTile(plane, index))) : [];
    if (!changed.length) return null;
    const step = { label, tiles: changed.map((index) => this.#keep(index)) };
    this.done.push(step);
    this.undone = [];
    return step;
  }

  /** Drop what was painted since the last step. @param {Rectangle} box where */
  revert(box) {
    copyBox(this.settled, this.plane, box);
  }

  /** @returns {{label: string, box: Rectangle} | null} what was undone, null if there was nothing */
  undo() {
    return this.#move(this.done, this.undone);
  }

  redo() {
    return this.#move(this.undone, this.done);
  }

  #move(from, to) {
    const step = from.pop();
    if (!step) return null;
    const tiles = step.tiles.map((tile) => (putTile(this.plane, tile), this.#keep(tile.index)));
    to.push({ label: step.label, tiles });
    /** @type {(Rectangle | null)[]} */
    const boxes = tiles.map((tile) => boxOfTile(this.plane, tile.index));
    return { label: step.label, box: boxes.reduce(unite, null) };
  }

  /** Pack a tile's old contents, and copy the new ones to `settled`. @param {number} index @returns {Tile} */
  #keep(index) {
    const box = boxOfTile(this.plane, index);
    const packed = pack(cropPlane(this.settled, box).data);
    copyBox(this.plane, this.settled, box);
    return { index, packed };
  }
}

/** Unpack a tile into its place. @param {Plane} plane @param {Tile} tile */
export function putTile(plane, { index, packed }) {
  const box = boxOfTile(plane, index);
  const width = box.x1 - box.x0;
  const bytes = unpack(packed, width * (box.y1 - box.y0));
  for (let y = box.y0, k = 0; y < box.y1; y++, k += width) plane.data.set(bytes.subarray(k, k + width), y * plane.width + box.x0);
}

/** Packed tiles in which a plane differs from another, from which it can be restored. @param {Plane} plane @param {Plane} from @returns {Tile[]} */
export function tilesOfDifference(plane, from) {
  return tilesUnder(plane, wholeOf(plane))
    .filter((index) => !samePlane(plane, from, boxOfTile(plane, index)))
    .map((index) => ({ index, packed: pack(cropPlane(plane, boxOfTile(plane, index)).data) }));
}

/** Pixels of a tile; those at the right and lower border may be smaller. @param {{width: number, height: number}} plane @param {number} index @returns {Rectangle} */
export function boxOfTile(plane, index) {
  const columns = Math.ceil(plane.width / TILE);
  const x0 = (index % columns) * TILE;
  const y0 = Math.floor(index / columns) * TILE;
  return { x0, y0, x1: Math.min(x0 + TILE, plane.width), y1: Math.min(y0 + TILE, plane.height) };
}

/** Tiles that a rectangle touches. @param {{width: number}} plane @param {Rectangle} box within the plane @returns {number[]} */
export function tilesUnder(plane, box) {
  const columns = Math.ceil(plane.width / TILE);
  const indices = [];
  for (let row = Math.floor(box.y0 / TILE); row * TILE < box.y1; row++) {
    for (let column = Math.floor(box.x0 / TILE); column * TILE < box.x1; column++) indices.push(row * columns + column);
  }
  return indices;
}

/**
 * Run-length encoding as in PackBits (Apple, 1984; TIFF 6.0, section 9): a header n of 0 to 127 is followed by n + 1
 * literal bytes; a header n of 129 to 255 repeats the next byte 257 - n times.
 */
export function pack(bytes) {
  const packed = new Uint8Array(bytes.length + Math.ceil(bytes.length / LONGEST));
  let size = 0;
  for (let i = 0, end = 0; i < bytes.length; i = end) {
    const last = Math.min(i + LONGEST, bytes.length);
    end = i + 1;
    while (end < last && bytes[end] === bytes[i]) end++;
    const repeats = end - i > 2;
    if (!repeats) while (end < last && !(bytes[end] === bytes[end + 1] && bytes[end] === bytes[end + 2])) end++;
    packed[size++] = repeats ? 257 - (end - i) : end - i - 1;
    packed.set(bytes.subarray(i, repeats ? i + 1 : end), size);
    size += repeats ? 1 : end - i;
  }
  return packed.slice(0, size);
}

/** @param {Uint8Array} packed @param {number} length of what was packed @returns {Uint8Array} */
export function unpack(packed, length) {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < packed.length; ) {
    const head = packed[i++];
    if (head < 128) {
      bytes.set(packed.subarray(i, i + head + 1), at);
      i += head + 1;
      at += head + 1;
    } else {
      bytes.fill(packed[i++], at, at + 257 - head);
      at += 257 - head;
    }
  }
  return bytes;
}
